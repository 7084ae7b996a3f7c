"""Options that document themselves: read from TOML and environment, checked, and listed for the manual."""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
ENVIRONMENT_PREFIX = "EVERPOST_"
_MAX_FILE_OCTETS = 1024 * 1024
_AT = re.compile(r" - at `\$\.?([^`]*)`$")


class ConfigError(Exception):
    """The configuration cannot be used; the message names file and key, and the way out."""


def doc(
    text: str,
    *,
    unit: str = "",
    example: str = "",
    ge: float | None = None,
    le: float | None = None,
    secret: bool = False,
) -> msgspec.Meta:
    """The documentation and bounds of an option. A `secret` is never taken from the file itself."""
    extra = {"unit": unit, "example": example, "secret": secret}
    return msgspec.Meta(description=text, ge=ge, le=le, extra=extra)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. Shown without its secrets."""

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in msgspec.structs.fields(self)
            if field.name not in ("database", "master_key", "relay_password")
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Option:
    """One option as the manual shows it. `path` leads to it: `("queue", "resolver")`."""

    path: tuple[str, ...]
    type: Any
    default: Any
    text: str
    unit: str
    example: str
    secret: bool
    listed: bool = False  # in a table of which there may be several: `[[guard.icap]]`

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that overrides the file; "" for what is listed."""
        return "" if self.listed else ENVIRONMENT_PREFIX + "_".join(self.path).upper()


def options_of(section: type[msgspec.Struct], path: tuple[str, ...] = (), *, listed: bool = False) -> Iterator[Option]:
    """Every option of a section and those below, the section's own first."""
    hints = typing.get_type_hints(section, include_extras=True)
    below: list[tuple[type[msgspec.Struct], tuple[str, ...], bool]] = []
    for field in msgspec.structs.fields(section):
        bare, meta = _unwrap(hints[field.name])
        if (inner := section_of(bare)) is not None:
            below.append((inner, (*path, field.name), inner is not bare))
            continue
        extra = (meta.extra or {}) if meta else {}
        yield Option(
            (*path, field.name),
            bare,
            field.default,
            (meta.description or "") if meta else "",
            extra.get("unit", ""),
            extra.get("example", ""),
            bool(extra.get("secret")),
            listed,
        )
    for inner, inner_path, several in below:
        yield from options_of(inner, inner_path, listed=listed or several)


def section_of(hint: Any) -> type[msgspec.Struct] | None:
    """The section that this type is, or is a tuple of; None for an option."""
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    return hint if isinstance(hint, type) and issubclass(hint, msgspec.Struct) else None


def read_options(section: type[T], path: Path | None, environment: Mapping[str, str]) -> T:
    """Read the file, lay the environment over it, check everything. Raises `ConfigError`."""
    where = str(path) if path is not None else "environment"
    values = _read_toml(path) if path is not None else {}
    _refuse_unknown(section, values, (), where)
    options = {option.variable: option for option in options_of(section) if not option.listed}
    for option in options.values():
        if option.secret and _lookup(values, option.path) is not None:
            raise ConfigError(f"{where}: {option.name} is a secret: set {option.variable}, or {option.name}_file")
    for variable, text in environment.items():
        if variable in options:
            _store(values, options[variable].path, _from_text(options[variable], text))
    if path is not None:
        _anchor_files(values, options_of(section), path.resolve().parent)
    try:
        return msgspec.convert(values, section)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), where)) from error


def unknown_variables(section: type[msgspec.Struct], environment: Mapping[str, str]) -> list[str]:
    """What begins with EVERPOST_ and is no option, as sentences with a suggestion."""
    known = [option.variable for option in options_of(section) if not option.listed]
    return [
        f"{variable} is no option{_suggest(variable, known)}"
        for variable in sorted(environment)
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known and variable != "EVERPOST_CONFIG"
    ]


def _unwrap(hint: Any) -> tuple[Any, msgspec.Meta | None]:
    if typing.get_origin(hint) is typing.Annotated:
        bare, *notes = typing.get_args(hint)
        return bare, next((note for note in notes if isinstance(note, msgspec.Meta)), None)
    return hint, None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_FILE_OCTETS:
            raise ConfigError(f"{path}: larger than {_MAX_FILE_OCTETS} octets: that is no configuration")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file: make one with `everpost init`, or say where it is (--config)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def _refuse_unknown(section: type[msgspec.Struct], values: Any, path: tuple[str, ...], where: str) -> None:
    if isinstance(values, list):
        for number, each in enumerate(values):
            _refuse_unknown(section, each, (*path[:-1], f"{path[-1]}[{number}]") if path else path, where)
    if not isinstance(values, dict):
        return  # the wrong type is reported when converting
    hints = typing.get_type_hints(section, include_extras=True)
    for key, value in values.items():
        if key not in hints:
            name = ".".join((*path, key))
            raise ConfigError(f"{where}: there is no option {name!r}{_suggest(key, list(hints), path)}")
        bare, _ = _unwrap(hints[key])
        if (inner := section_of(bare)) is not None:
            _refuse_unknown(inner, value, (*path, key), where)


def _suggest(word: str, known: list[str], path: tuple[str, ...] = ()) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f": did you mean {'.'.join((*path, close[0]))!r}?" if close else ""


def _explain(message: str, where: str) -> str:
    """msgspec's message with the key first: `Expected ..., got ... - at `$.queue.resolver``."""
    found = _AT.search(message)
    if found is None:
        return f"{where}: {message}"
    what = message[: found.start()].replace("`", "")
    return f"{where}: {found.group(1)}: {what[0].lower()}{what[1:]}"


def _from_text(option: Option, text: str) -> Any:
    """An environment variable's text as the value a TOML file would hold; what does not fit is refused later."""
    if typing.get_origin(option.type) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if option.type is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower(), text)
    if option.type in (int, float):
        try:
            return int(text) if option.type is int else float(text)
        except ValueError:
            return text
    return text


def _lookup(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(values, dict):
            return None
        values = values.get(key)
    return values


def _store(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # the wrong type is reported when converting
        values = inner
    values[path[-1]] = value


def _anchor_files(values: dict[str, Any], options: Iterable[Option], folder: Path) -> None:
    """Relative paths count from the file's own folder, wherever the command is run."""
    for option in options:
        key = option.path[-1]
        if key.endswith(("_file", "_dir")):
            for table in _tables(values, option.path[:-1]):
                value = table.get(key)
                if isinstance(value, str) and value:
                    table[key] = str(folder / Path(value).expanduser())


def _tables(values: Any, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The tables that this path leads to: several where one on the way is listed."""
    if isinstance(values, list):
        for each in values:
            yield from _tables(each, path)
    elif isinstance(values, dict):
        if not path:
            yield values
        elif path[0] in values:
            yield from _tables(values[path[0]], path[1:])
