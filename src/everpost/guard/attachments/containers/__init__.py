"""Readers of archives and of single compressed files."""
