"""How people prove who they are, independent of the primary."""
