"""Durable state: PostgreSQL (embedded or external), migrations, identifiers, blobs, the audit."""
