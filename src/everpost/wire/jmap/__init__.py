"""JMAP without I/O: requests, references, arguments, rendering and composing (RFC 8620, RFC 8621)."""
