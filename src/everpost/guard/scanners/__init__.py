"""Malware scanners: what is asked of them, how, and what their answers mean."""
