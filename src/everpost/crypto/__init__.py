"""Keys, encryption at rest and signatures. Key order: master key → organisation's key → message's key."""
