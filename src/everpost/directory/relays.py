"""Which hosts and logins are primaries that may relay through us."""

from __future__ import annotations

import ipaddress

from everpost.crypto.passwords import RecentlyVerified, verify_password
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
Relay = tuple[int, int]
"""(organisation, primary)"""


class RelayTable:
    """This process's view of the relays; `load` again whenever the directory changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._networks: list[tuple[int, int, dict[int, Relay]]] = []
        self._logins: dict[str, tuple[str, Relay]] = {}
        self._verified: RecentlyVerified[Relay] = RecentlyVerified()

    async def load(self) -> None:
        """Read every primary's networks and login. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["relays"])
        by_length: dict[tuple[int, int], dict[int, Relay]] = {}
        logins: dict[str, tuple[str, Relay]] = {}
        for row in rows:
            relay = (row["organisation_id"], row["id"])
            for network in row["smarthost_networks"]:
                place = by_length.setdefault((network.version, network.prefixlen), {})
                place[int(network.network_address)] = relay
            if row["relay_login"] and row["relay_secret"]:
                logins[row["relay_login"]] = (row["relay_secret"], relay)
        self._networks = [
            (version, length, by_length[version, length]) for version, length in sorted(by_length, reverse=True)
        ]
        self._logins = logins
        self._verified.forget()

    def find(self, ip: str) -> Relay | None:
        """The primary whose narrowest network holds the client's address; an IPv4-mapped one counts as IPv4."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number = int(address)
        for version, length, networks in self._networks:
            if version == address.version:
                shift = address.max_prefixlen - length
                found = networks.get(number >> shift << shift)
                if found is not None:
                    return found
        return None

    async def check(self, login: str, password: str) -> Relay | None:
        """The primary that these credentials belong to. Unknown logins take as long as known ones."""
        known = self._verified.get(login, password)
        if known is not None:
            return known
        stored, relay = self._logins.get(login, (None, None))
        if not await verify_password(stored, password) or relay is None:
            return None
        if self._logins.get(login, (None, None))[0] == stored:  # not changed while we were checking
            self._verified.put(login, password, relay)
        return relay
