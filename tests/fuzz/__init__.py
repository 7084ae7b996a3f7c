"""Fuzzing of everything a stranger can send, with nothing but the standard library."""
