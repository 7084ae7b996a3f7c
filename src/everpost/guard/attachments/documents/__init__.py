"""Readers of documents: what in them runs, fetches, or carries another file."""
