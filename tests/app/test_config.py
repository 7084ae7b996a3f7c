"""The configuration file: what is read, what is refused, and that the manual tells the truth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from everpost.app.config import Config, ConfigError, Endpoint, find_config, load_config, parse_endpoint
from everpost.app.docs import configuration_page, toml_value
from everpost.app.options import options_of

REPOSITORY = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "everpost.toml"
    path.write_text(text)
    return path


def test_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, ""), {})
    assert config == Config()
    assert config.smtp.mx.listen == ("0.0.0.0:25", "[::]:25")
    assert config.external_dsn() == ""


def test_values_and_sections(tmp_path: Path) -> None:
    text = 'hostname = "mx.example.org"\n[smtp.mx]\nlisten = ["127.0.0.1:0"]\nidle_s = 5\n'
    text += '[queue]\nrelay = "r.example.org:587"\n'
    config = load_config(write(tmp_path, text), {})
    assert (config.hostname, config.smtp.mx.listen, config.smtp.mx.idle_s) == ("mx.example.org", ("127.0.0.1:0",), 5.0)
    assert config.queue.relay == "r.example.org:587"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('hostnam = "x"', "hostname"),
        ("[smtp.mx]\nlisten_on = []", "did you mean 'smtp.mx.listen'"),
        ("[smpt.mx]\nlisten = []", "did you mean 'smtp'"),
        ("[queue]\nper_destination = 'many'", "queue.per_destination: expected int, got str"),
        ("[queue]\nper_destination = 0", "queue.per_destination: expected int >= 1"),
        ("queue = 3", "queue: expected object, got int"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[smtp.mx]\nlisten = ['::1:25']", "smtp.mx.listen: '::1:25': write an IPv6 address in brackets"),
        ("[smtp.mx]\nlisten = ['127.0.0.1']", "address:port"),
        ("[smtp.mx]\nproxy_from = ['10.0.0.1/8']", "smtp.mx.proxy_from"),
        ("[smtp.mx]\ncertificate_file = 'x'", "belong together"),
        ("[web]\ntls = true", "web.tls: needs a certificate"),
        ("hostname = 'not a host'", "hostname"),
        ("database = 'mysql://x'", "database: must begin with postgresql://"),
        ("master_key = 'aa'", "EVERPOST_MASTER_KEY"),
        ("[queue]\nrelay_password = 'x'", "EVERPOST_QUEUE_RELAY_PASSWORD"),
        ("[queue]\nbackoff_longest_s = 10", "backoff_longest_s"),
        ("workers = 1\nhostname = = 1", "line 2"),
        ("[queue]\nresolver = ['dns.example']", "queue.resolver"),
    ],
)
def test_refused_with_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="everpost init"):
        load_config(tmp_path / "none.toml", {})
    path = tmp_path / "everpost.toml"
    path.write_bytes(b"hostname = '\xff'")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path, {})


def test_environment_wins(tmp_path: Path) -> None:
    path = write(tmp_path, 'hostname = "mx.example.org"\n')
    config = load_config(
        path,
        {
            "EVERPOST_HOSTNAME": "other.example.org",
            "EVERPOST_SMTP_MX_LISTEN": "127.0.0.1:25, [::1]:25",
            "EVERPOST_WORKERS": "3",
            "EVERPOST_WEB_TLS": "no",
            "EVERPOST_QUEUE_RELAY_PASSWORD": "word",
            "EVERPOST_QUEUE_RELAY_USERNAME": "name",
            "EVERPOST_CONFIG": "ignored here",
            "PATH": "/bin",
        },
    )
    assert (config.hostname, config.workers) == ("other.example.org", 3)
    assert config.smtp.mx.listen == ("127.0.0.1:25", "[::1]:25")
    assert config.queue.relay_credentials() == ("name", "word")
    assert "word'" not in repr(config)
    with pytest.raises(ConfigError, match="workers: expected int"):
        load_config(path, {"EVERPOST_WORKERS": "many"})
    with pytest.raises(ConfigError, match="did you mean 'EVERPOST_HOSTNAME'"):
        load_config(path, {"EVERPOST_HOSTNAMES": "x"})


def test_files_count_from_the_configurations_folder(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://db.example.org/everpost\n")
    config = load_config(write(tmp_path, 'data_dir = "data"\ndatabase_file = "dsn"\n'), {})
    assert config.data_folder == tmp_path / "data"
    assert config.external_dsn() == "postgresql://db.example.org/everpost"
    with pytest.raises(ConfigError, match="missing"):
        config.load_master_key()
    key = config.load_master_key(create=True)
    assert config.master_key_path.stat().st_mode & 0o777 == 0o600
    assert config.load_master_key().open(key.seal(b"x", "y"), "y") == b"x"
    config.master_key_path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        config.load_master_key()


def test_where_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config(Path("given"), {"EVERPOST_CONFIG": "named"}) == Path("given")
    assert find_config(None, {"EVERPOST_CONFIG": "named"}) == Path("named")
    monkeypatch.setattr("everpost.app.config.SEARCHED", (Path("everpost.toml"),))
    with pytest.raises(ConfigError, match="everpost init"):
        find_config(None, {})
    write(tmp_path, "")
    assert find_config(None, {}) == Path("everpost.toml")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0.0.0.0:25", Endpoint("0.0.0.0", 25)),
        ("[::]:25", Endpoint("::", 25)),
        ("a.example:0", Endpoint("a.example", 0)),
    ],
)
def test_endpoint(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize("text", ["", ":25", "x:", "x:65536", "x:-1", "x:²", "[x]:25", "[::1]", "::1:25"])
def test_endpoint_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(text)


def test_every_option_is_documented_and_has_a_variable_of_its_own() -> None:
    options = list(options_of(Config))
    assert [option.name for option in options if not option.text.endswith(".")] == []
    assert [
        name for name, count in Counter(option.variable for option in options if not option.listed).items() if count > 1
    ] == []
    assert [option.name for option in options if option.name.endswith(("_s", "_octets")) and not option.unit] == []


def test_defaults_are_accepted_when_written_out(tmp_path: Path) -> None:
    lines = []
    section: tuple[str, ...] = ()
    for option in options_of(Config):
        if option.listed:
            continue  # a table of which there is none by default
        if option.path[:-1] != section:
            section = option.path[:-1]
            lines.append(f"[{'.'.join(section)}]")
        if not option.secret:
            lines.append(f"{option.path[-1]} = {toml_value(option.default)}")
    assert load_config(write(tmp_path, "\n".join(lines)), {}) == Config()


def test_several_engines_are_listed_one_after_the_other(tmp_path: Path) -> None:
    text = "".join(
        f'[[guard.icap]]\nname = "{name}"\nurl = "icaps://av.example.org/{name}"\nca_file = "ca.pem"\n' for name in "ab"
    )
    engines = load_config(write(tmp_path, text), {}).guard.icap
    assert [(each.name, each.url) for each in engines] == [
        ("a", "icaps://av.example.org/a"), ("b", "icaps://av.example.org/b"),
    ]  # fmt: skip
    assert engines[1].ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[guard.clamd]\naddress = "clamav"\n', "guard.clamd.address: 'clamav': write a path"),
        ('[guard.clamd]\nunavailable = "drop"\n', "guard.clamd.unavailable: invalid enum value 'drop'"),
        ('[[guard.icap]]\nurl = "icap://av:1344/x"\n', "guard.icap[0].name: '': a name of its own"),
        ('[[guard.icap]]\nname = "clamd"\nurl = "icap://av:1344/x"\n', "guard.icap[0].name: 'clamd': a name"),
        ('[[guard.icap]]\nname = "a"\nurl = "http://av/x"\n', "guard.icap[0].url: 'http://av/x': write it like"),
        ('[[guard.icap]]\nname = "a"\nurll = "x"\n', "there is no option 'guard.icap[0].urll': did you mean"),
    ],
)
def test_scanners_that_cannot_be_asked_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(write(tmp_path, text), {})
    assert says in str(refused.value)


def test_the_manual_is_current() -> None:
    page = REPOSITORY / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == configuration_page(), "run `make docs`"
