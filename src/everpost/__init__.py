"""Everpost: email continuity. Keeps every mailbox alive when the mail server is down or not to be trusted."""

__version__ = "0.1.0"
