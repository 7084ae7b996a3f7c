"""Certificates, good and bad, of a certificate authority made for one test."""

from __future__ import annotations

import datetime
import enum
from pathlib import Path

import trustme


class Certificate(enum.Enum):
    """What is wrong with a server's certificate."""

    VALID = "valid"
    WRONG_NAME = "wrong name"
    EXPIRED = "expired"
    SELF_SIGNED = "self-signed"


class Authority:
    """Issues certificates for one host name and the loopback address, as PEM files in a directory."""

    def __init__(self, directory: Path, hostname: str) -> None:
        self._hostname = hostname
        self._directory = directory
        self._ca = trustme.CA()
        self._stranger = trustme.CA(organization_name="nobody you trust")
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, kind: Certificate) -> tuple[Path, Path]:
        """Certificate chain and key of that kind, as paths. An untrusted issuer stands for "self-signed"."""
        names = (self._hostname, "localhost", "127.0.0.1")
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=400)
        if kind is Certificate.VALID:
            leaf = self._ca.issue_cert(*names)
        elif kind is Certificate.WRONG_NAME:
            leaf = self._ca.issue_cert("another.example.com")
        elif kind is Certificate.EXPIRED:
            leaf = self._ca.issue_cert(*names, not_before=past, not_after=past + datetime.timedelta(days=90))
        else:
            leaf = self._stranger.issue_cert(*names)
        chain = self._directory / f"{kind.name.lower()}.pem"
        key = self._directory / f"{kind.name.lower()}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return chain, key
