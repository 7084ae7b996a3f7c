"""The demo: an outage from beginning to end on one machine."""
