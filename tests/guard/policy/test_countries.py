"""Where an address is."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from everpost.guard.policy.countries import Countries


@pytest.mark.parametrize("version", [4, 6])
def test_countries_of_addresses(tmp_path: Path, version: int) -> None:
    writer = MMDBWriter(version, "GeoLite2-Country", ipv4_compatible=version == 6)
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "DE"}})
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"registered_country": {"iso_code": "FR"}})
    if version == 6:
        writer.insert_network(IPSet(["2001:db8::/32"]), {"country": {"iso_code": "JP"}})
    writer.to_db_file(str(tmp_path / "countries.mmdb"))
    countries = Countries(tmp_path / "countries.mmdb")
    assert countries.of(ip_address("192.0.2.9")) == "DE"
    assert countries.of(ip_address("198.51.100.1")) == ""
    assert countries.of(ip_address("203.0.113.1")) == ""
    assert countries.of(ip_address("2001:db8::1")) == ("JP" if version == 6 else "")
    assert countries.of(None) == ""


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing of that kind")
    with pytest.raises(ValueError, match="MaxMind"):
        Countries(tmp_path / "x")
    with pytest.raises(OSError):
        Countries(tmp_path / "missing")
