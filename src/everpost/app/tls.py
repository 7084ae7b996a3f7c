"""Certificates that the listeners show."""

from __future__ import annotations

import ssl

from everpost.app.config import Config, ConfigError, Listener, Web


def server_context(config: Config, section: Listener | Web) -> ssl.SSLContext | None:
    """The TLS of a listener; None where no certificate is configured. Raises `ConfigError`."""
    pair = config.certificate(section)
    if pair is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(*pair)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"certificate {pair[0]} with key {pair[1]}: {error.strerror or error}") from error
    return context
