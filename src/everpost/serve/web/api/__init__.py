"""The API of administrators: one registry of operations, from which router, OpenAPI document and manual are made."""
