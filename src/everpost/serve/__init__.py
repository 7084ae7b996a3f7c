"""The faces: SMTP and web. They never import one another."""
