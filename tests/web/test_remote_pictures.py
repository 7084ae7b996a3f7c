"""Pictures of other servers through our proxy: what a stranger's mail can make us fetch, and what it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from everpost.serve.web.html import render_html
from everpost.serve.web.remote.addresses import LIFETIME_S, Signer
from everpost.serve.web.remote.fetch import Fetcher, NotFetched, Reach
from everpost.serve.web.remote.hosts import Address, is_public, resolve
from everpost.serve.web.remote.pictures import recognise
from everpost.standby.values import Account
from web_tools.world import Person, World, message

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\x02\0\0\0" + b"\0" * 500
PIXEL = PNG.replace(struct.pack(">II", 640, 480), struct.pack(">II", 1, 1))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"
ANN, BEN = Account(1, 2), Account(1, 3)
LOCAL = ipaddress.ip_address("127.0.0.1")


# ---------------------------------------------------------------------- addresses of ours


def test_an_address_is_good_for_its_mailbox_and_time_only() -> None:
    signer, now = Signer(b"k" * 32), 1_800_000_000.0
    url = "https://pictures.example/a?b=ü"
    address = signer.address(ANN, url, now)
    assert address is not None
    expires, mac, coded = address.split("/")[2:]
    assert signer.url(ANN, expires, mac, coded, now) == url
    assert signer.address(ANN, url, now + 60) == address
    assert signer.url(BEN, expires, mac, coded, now) is None
    assert signer.url(ANN, str(int(expires) + 1), mac, coded, now) is None
    assert signer.url(ANN, expires, mac, coded, now + LIFETIME_S) is None
    assert Signer(b"l" * 32).url(ANN, expires, mac, coded, now) is None
    other = signer.address(ANN, "https://other.example/", now)
    assert other is not None
    assert signer.url(ANN, expires, mac, other.split("/")[4], now) is None
    for broken in ("", "é", "!!", "A", "=" * 9, "A" * 20_000):
        assert signer.url(ANN, expires, broken, coded, now) is None
        assert signer.url(ANN, expires, mac, broken, now) is None
        assert signer.url(ANN, broken, mac, coded, now) is None
    assert signer.address(ANN, "https://x.example/" + "y" * 3000, now) is None


# ---------------------------------------------------------------------- machines


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
        "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_what_is_not_public_is_not_reached(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_is_public_is(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_numbers_written_in_odd_ways_lead_nowhere(host: str) -> None:
    fetcher = Fetcher(Reach(ports=frozenset((80,))))
    with pytest.raises(NotFetched) as refused:
        await fetcher.fetch(f"http://{host}/x.png")
    assert refused.value.reason in ("private", "unreachable")
    found = await resolve(host.strip("[]"), 80)
    assert not any(map(is_public, found))


# ---------------------------------------------------------------------- a server that means harm

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Stranger:
    """A web server on this machine, under any name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, bytes | Answer] = {}
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            answer = self.answers.get(head.split()[1], b"HTTP/1.1 404 Not Found\r\n\r\n")
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(head, writer)
        writer.close()


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    made = Stranger()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


def reaching(stranger: Stranger, names: dict[str, list[str]] | None = None, **more: object) -> Fetcher:
    """`good.example` is the stranger, and allowed; other names are what `names` says, judged as always."""

    async def look_up(host: str, port: int) -> list[Address]:
        if host == "good.example":
            return [LOCAL]
        return [ipaddress.ip_address(text) for text in (names or {}).get(host, [])] or await resolve(host, port)

    def may_reach(address: Address) -> bool:
        return address is LOCAL or is_public(address)

    return Fetcher(Reach(look_up, may_reach, frozenset((stranger.port, 80, 443)), **more))  # type: ignore[arg-type]


async def refused(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(NotFetched) as caught:
        await fetcher.fetch(url)
    return caught.value.reason


async def test_a_picture_comes_and_nothing_of_the_reader_goes(stranger: Stranger) -> None:
    stranger.answers["/a.png?x=1"] = OK.replace(b"image/png", b"text/html\r\nSet-Cookie: a=b") + PNG
    fetcher = reaching(stranger)
    url = f"http://good.example:{stranger.port}/a.png?x=1#here"
    picture, data = await fetcher.fetch(url)
    await fetcher.fetch(url)
    assert (picture.type, picture.width, data) == ("image/png", 640, PNG)
    names = {line.partition(":")[0].lower() for line in stranger.asked[1].split("\r\n")[1:] if line}
    assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert f"Host: good.example:{stranger.port}" in stranger.asked[1]


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:10.0.0.1]/", "http://2130706433/",
     "//localhost/x", "http://inside.example/", "http://mixed.example/"],
)  # fmt: skip
async def test_a_redirect_leads_to_no_private_machine(stranger: Stranger, location: str) -> None:
    stranger.answers["/go"] = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode()
    names = {"inside.example": ["10.1.2.3"], "mixed.example": ["1.1.1.1", "127.0.0.1"]}
    fetcher = reaching(stranger, names)
    assert await refused(fetcher, f"http://good.example:{stranger.port}/go") == "private"
    assert len(stranger.asked) == 1


@pytest.mark.parametrize(
    "location",
    ["ftp://good.example/x", "file:///etc/passwd", "http://good.example:22/", "http://a@good.example/", "http://", "",
     "http://[::1/", "javascript:alert(1)", "data:image/png;base64,AAAA", "gopher://good.example/"],
)  # fmt: skip
async def test_only_web_addresses_are_followed(stranger: Stranger, location: str) -> None:
    stranger.answers["/go"] = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode()
    fetcher = reaching(stranger)
    expected = "redirects" if location in ("", "http://") else "address"
    assert await refused(fetcher, f"http://good.example:{stranger.port}/go") == expected


async def test_redirects_go_on_for_a_while_and_end(stranger: Stranger) -> None:
    stranger.answers["/round"] = b"HTTP/1.1 301 Moved\r\nLocation: /round\r\n\r\n"
    stranger.answers["/on"] = b"HTTP/1.1 307 Moved\r\nLocation: /a.png\r\n\r\n"
    stranger.answers["/a.png"] = OK + PNG
    fetcher = reaching(stranger)
    assert (await fetcher.fetch(f"http://good.example:{stranger.port}/on"))[1] == PNG
    stranger.asked.clear()
    assert await refused(fetcher, f"http://good.example:{stranger.port}/round") == "redirects"
    assert len(stranger.asked) == 4


async def test_the_name_is_looked_up_once_and_the_connection_goes_where_it_was_judged(stranger: Stranger) -> None:
    looked_up = []

    async def rebinding(host: str, _: int) -> list[Address]:
        looked_up.append(host)
        return [LOCAL] if len(looked_up) == 1 else [ipaddress.ip_address("10.0.0.1")]

    stranger.answers["/a.png"] = OK + PNG
    fetcher = Fetcher(Reach(rebinding, lambda address: address is LOCAL, frozenset((stranger.port,))))
    assert (await fetcher.fetch(f"http://rebind.example:{stranger.port}/a.png"))[1] == PNG
    assert looked_up == ["rebind.example"]
    assert await refused(fetcher, f"http://rebind.example:{stranger.port}/a.png") == "private"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "type"),
        (b"<html><script>alert(1)</script>", "type"),
        (b"BM" + b"\0" * 100, "type"),
        (b"", "type"),
        (b"GIF", "type"),
        (PIXEL, "tracker"),
        (b"GIF89a\x01\0\x01\0" + b"\0" * 30, "tracker"),
    ],
)
async def test_only_pictures_that_can_be_seen(stranger: Stranger, body: bytes, reason: str) -> None:
    stranger.answers["/x"] = OK + body
    assert await refused(reaching(stranger), f"http://good.example:{stranger.port}/x") == reason


async def test_the_huge_and_the_slow_are_cut_off(stranger: Stranger) -> None:
    async def endless(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + PNG)
        while not writer.is_closing():
            writer.write(b"\0" * 65536)
            await writer.drain()

    async def trickling(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        while not writer.is_closing():
            writer.write(b"\x89")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def silent(_: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async def headers(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-A: " + b"a" * 5000 + b"\r\n")
            await writer.drain()

    stranger.answers |= {"/endless": endless, "/trickling": trickling, "/silent": silent, "/headers": headers}
    stranger.answers["/declared"] = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n" + PNG
    stranger.answers["/bomb"] = OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + b"\x1f\x8b" * 50
    fetcher = reaching(stranger, max_octets=1_000_000, total_s=1.0)
    home = f"http://good.example:{stranger.port}"
    began = time.monotonic()
    assert await refused(fetcher, f"{home}/endless") == "large"
    assert await refused(fetcher, f"{home}/declared") == "large"
    assert await refused(fetcher, f"{home}/bomb") == "type"
    assert await refused(fetcher, f"{home}/headers") == "unreachable"
    assert time.monotonic() - began < 3
    assert await refused(fetcher, f"{home}/trickling") == "slow"
    assert await refused(fetcher, f"{home}/silent") == "slow"


@pytest.mark.parametrize(
    "answer", [b"", b"not HTTP\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 204 None\r\n\r\n", b"\0" * 100_000]
)
async def test_servers_that_do_not_speak_well(stranger: Stranger, answer: bytes) -> None:
    stranger.answers["/x"] = answer
    assert await refused(reaching(stranger), f"http://good.example:{stranger.port}/x") in ("refused", "unreachable")


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of this name has, and what a client that trusts its certificate has."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "pair.pem").write_bytes(
        pem
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "pair.pem")
    return server, ssl.create_default_context(cadata=pem.decode())


@pytest.mark.parametrize("name", ["good.example", "other.example"])
async def test_the_certificate_is_that_of_the_name(stranger: Stranger, tmp_path: Path, name: str) -> None:
    server_side, trusting = certified(tmp_path, name)
    stranger.answers["/a.png"] = OK + PNG
    server = await asyncio.start_server(stranger.serve, "127.0.0.1", 0, ssl=server_side)
    stranger.port = server.sockets[0].getsockname()[1]
    url = f"https://good.example:{stranger.port}/a.png"
    trusting_fetcher = Fetcher(reaching(stranger).reach, trusting)
    if name == "good.example":
        assert (await trusting_fetcher.fetch(url))[1] == PNG
    else:
        assert await refused(trusting_fetcher, url) == "unreachable"
    assert await refused(reaching(stranger), url) == "unreachable"
    server.close()


# ---------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PNG, ("image/png", 640, 480)),
        (b"GIF89a\x40\x01\xf0\0" + b"\0" * 9, ("image/gif", 320, 240)),
        (b"\xff\xd8\xff\xe0\0\x10" + b"\0" * 14 + b"\xff\xc0\0\x11\x08\x01\xe0\x02\x80\x03", ("image/jpeg", 640, 480)),
        (b"\xff\xd8\xff\xe0\0\0" * 10, ("image/jpeg", 0, 0)),
        (b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0", ("image/webp", 640, 480)),
        (b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x7f\xc2\x77\0\0", ("image/webp", 640, 480)),
        (b"\0\0\0\x1cftypavif" + b"\0" * 40 + b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", 640, 480),
         ("image/avif", 640, 480)),
    ],
)  # fmt: skip
def test_pictures_are_known_by_their_octets(data: bytes, expected: tuple[str, int, int]) -> None:
    found = recognise(data)
    assert found is not None
    assert (found.type, found.width, found.height) == expected
    for end in range(len(data)):
        recognise(data[:end])


@pytest.mark.parametrize(
    ("html", "trackers", "blocked"),
    [
        ('<img src="https://t.example/a" width="1" height="1">', 1, 0),
        ("<img src=//t.example/a width=0>", 1, 0),
        ('<img src="https://t.example/a" style="display:none">', 1, 0),
        ('<img src="https://t.example/a" style="width: 1px; height:1px !important">', 1, 0),
        ('<img src="https://t.example/a" style="opacity:0">', 1, 0),
        ('<img src="&#104;ttps://t.example/a" style="visib&#105;lity:hidden">', 1, 0),
        ('<img src="https://t.example/a" style="line-height:1px;opacity:0.5;min-width:1px">', 0, 1),
        ('<img src="https://t.example/a" width="100%" height="100">', 0, 1),
        ('<img src="cid:a" width="1">', 0, 0),
    ],
)
def test_pictures_nobody_could_see_are_taken_out_and_counted(html: str, trackers: int, blocked: int) -> None:
    found = render_html(html, cid={"a": "/own"})
    assert (found.trackers, found.blocked_remote) == (trackers, blocked)
    shown = render_html(html, cid={"a": "/own"}, remote=lambda url: "/proxy/" + url)
    assert shown.trackers == trackers
    assert shown.html.count("/proxy/") == blocked


# ---------------------------------------------------------------------- the whole way


async def test_asked_for_they_come_through_the_proxy(world: World, ann: Person, stranger: Stranger) -> None:
    world.serve_remote(reaching(stranger))
    stranger.answers["/a.png?x=1&y=2"] = OK + PNG
    picture = f"http://good.example:{stranger.port}/a.png?x=1&amp;y=2"
    body = f'<img src="{picture}"><img src="{picture}" width=1>'
    await world.deliver("ann@example.org", message(body=body, Content_Type="text/html"))
    (email_id,) = await ann.email_ids()
    plain = (await ann.http.get(f"/view/{ann.account_id}/{email_id}")).json()
    assert (plain["blockedRemote"], plain["trackers"], plain["canShowRemote"]) == (1, 1, True)
    assert "/proxy/" not in plain["html"]
    view = (await ann.http.get(f"/view/{ann.account_id}/{email_id}?remote=show")).json()
    assert (view["blockedRemote"], view["trackers"]) == (0, 1)
    (address,) = re.findall(r'src="(/proxy/[^"]+)"', view["html"])
    answer = await ann.http.get(address)
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"].startswith("private")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (await world.client().get(address)).status_code == 401
    ben = await world.person("ben@example.org")
    assert (await ben.http.get(address)).status_code == 404
    assert len(stranger.asked) == 1
    stranger.answers.clear()
    assert (await ann.http.get(address)).status_code == 502


async def test_switched_off_nothing_is_fetched(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message(body='<img src="http://x.example/a">', Content_Type="text/html"))
    (email_id,) = await ann.email_ids()
    view = (await ann.http.get(f"/view/{ann.account_id}/{email_id}?remote=show")).json()
    assert (view["blockedRemote"], view["canShowRemote"]) == (1, False)
    assert "x.example" not in view["html"]
    address = Signer(b"k" * 32).address(ann.account, "http://x.example/a", time.time())
    assert (await ann.http.get(address or "")).status_code == 404
