"""Helpers for the tests of the SMTP engines."""
