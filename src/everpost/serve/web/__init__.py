"""The web face: JMAP, uploads and downloads, health."""
