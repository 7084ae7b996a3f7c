"""Configuration, wiring, supervision, command line and the demo."""
