"""A small installation for tests of the standby and the web face."""
