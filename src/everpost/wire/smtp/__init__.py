"""SMTP without I/O: server and client engines, command syntax, and the PROXY protocol's header."""
