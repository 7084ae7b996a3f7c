"""Organisations, domains, mailboxes, addresses and groups: who is who, without asking the primary."""
