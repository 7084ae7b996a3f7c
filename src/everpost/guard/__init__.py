"""The guard: what is known of a message, what it is judged to be, and what is done about it."""
