"""Readers of disk images: file systems where they are known, else what can be found at the sectors' beginnings."""
