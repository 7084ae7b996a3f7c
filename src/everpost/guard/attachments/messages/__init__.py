"""Readers of messages within messages: TNEF, attached and saved messages, S/MIME."""
