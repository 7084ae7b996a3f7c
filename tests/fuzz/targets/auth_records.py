"""Records of the DNS that strangers publish: SPF, DKIM keys, DMARC."""

from __future__ import annotations

from everpost.auth.dkim_key import Algorithm, KeyRefused, parse_key
from everpost.auth.dmarc_record import parse_record as parse_dmarc
from everpost.auth.spf_record import SpfSyntaxError, is_spf, parse_macros
from everpost.auth.spf_record import parse_record as parse_spf

SEEDS: list[bytes] = [
    b"v=spf1 a:%{d2r-}.example mx/24//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 ptr exists:%{ir}.%{v}._spf.%{d2} "
    b"include:%{o} redirect=_spf.example exp=e.example x=%%%_%- ?all",
    b"%{c} is not one of %{d}'s, %{t} %{R}",
    b"v=DKIM1; k=rsa; h=sha256; s=email; t=y:s; n=a; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id"
    b"Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9Pz"
    b"oxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    b"v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; psd=n; t=y; pct=20; rua=mailto:a@x.example!10m; fo=1:d",
]


def run(data: bytes) -> None:
    """Only the errors that are promised."""
    text = data.decode("latin-1")
    if is_spf(text):
        try:
            record = parse_spf(text)
        except SpfSyntaxError:
            pass
        else:
            assert text.isascii()
            assert len(record.directives) <= 500
    try:
        parse_macros(text, explanation=True)
    except SpfSyntaxError:
        pass
    for algorithm in Algorithm:
        try:
            key = parse_key(text, algorithm)
        except KeyRefused:
            continue
        assert key.bits >= (1024 if algorithm is Algorithm.RSA_SHA256 else 256)
    dmarc = parse_dmarc(text)
    assert dmarc is None or dmarc.valid or dmarc.policy == "none"
