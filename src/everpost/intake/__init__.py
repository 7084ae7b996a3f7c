"""Intake: the one transaction that makes a message ours. Only here is the final 250 earned."""
