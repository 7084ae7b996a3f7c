"""Where an address is, by a file in MaxMind's format that the installation has."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import maxminddb


class Countries:
    """Two letters (ISO 3166) for addresses; "" for those that the file does not know."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`, and `ValueError` for a file that is something else."""
        try:
            self._reader = maxminddb.open_database(path)
        except maxminddb.InvalidDatabaseError as error:
            raise ValueError(f"{path} is no database in MaxMind's format: {error}") from error

    def of(self, address: IPv4Address | IPv6Address | None) -> str:
        if address is None or (address.version == 6 and self._reader.metadata().ip_version == 4):
            return ""
        found = self._reader.get(address)
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""
