"""Two organisations that have one of everything, an API over them, and administrators at it."""
