"""Standby mailboxes: folders, entries, change log, threads, submission."""
