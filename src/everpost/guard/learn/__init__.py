"""The classifier of the guard: features of messages, counts of lessons, and what they say of a new message."""
