"""The settings of ``serve``: what the command line, the environment or a file say."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from snapfs.cli.session import Session
from snapfs.cli.wording import did_you_mean
from snapfs.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from snapfs.model import Durability
from snapfs.overlay_format import parse_size

DRIVERS: Final = ("auto", "kernel", "fuse")
LIMIT_BACKENDS: Final = ("quota", "loop")
LOG_FORMATS: Final = ("text", "json")
ON_UNSAFE: Final = ("reject", "clamp")
SHARES: Final = ("none", "namespaces")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
DEFAULT_ADDRESS: Final = "/run/snapfs/snapfs.sock"
DEFAULT_WORKERS: Final = 16
DEFAULT_MIN_FREE_PERCENT: Final = 1
CONTAINERD_ADDRESS: Final = "/run/containerd/containerd.sock"
CONTAINERD_ROOT: Final = "/var/lib/containerd"

Value: TypeAlias = str | int | bool | tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting.

    Attributes:
        name: As in the file, with a dot after the table's name.
        value: What holds.
        origin: Who said so.
    """

    name: str
    value: Value
    origin: str


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a string that is not empty")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false")
    return value


def _positive(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError("a number of 1 or more")
    return value


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("a list of strings")
    words = tuple(word for word in value if isinstance(word, str))
    if len(words) != len(value):
        raise TypeError("a list of strings")
    return words


def _one_of(choices: Sequence[str]) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices or not isinstance(value, str):
            raise TypeError("one of " + ", ".join(choices))
        return value

    return parse


def _size(value: object) -> int:
    """Read bytes; 0 for no limit."""
    if isinstance(value, str):
        try:
            return parse_size(value)
        except InvalidArgumentError as error:
            raise TypeError(f"a size ({error})") from error
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError('a number of bytes, or a size such as "10GiB"')
    return value


def _percentage(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 100:
        raise TypeError("a number from 0 to 99")
    return value


_PARSERS: Final[Mapping[str, Callable[[object], Value]]] = MappingProxyType(
    {
        "root": _text,
        "address": _text,
        "driver": _one_of(DRIVERS),
        "durability": _one_of([str(mode) for mode in Durability]),
        "workers": _positive,
        "group": _text,
        "containerd.address": _text,
        "containerd.root": _text,
        "containerd.on_unsafe": _one_of(ON_UNSAFE),
        "containerd.share": _one_of(SHARES),
        "metrics.address": _text,
        "tracing.endpoint": _text,
        "log.format": _one_of(LOG_FORMATS),
        "log.level": _one_of(LOG_LEVELS),
        "overlay.mount_options": _words,
        "overlay.remap_ids": _flag,
        "limits.max_size": _size,
        "limits.backend": _one_of(LIMIT_BACKENDS),
        "limits.min_free_percent": _percentage,
    }
)
_TABLES: Final = frozenset(name.split(".")[0] for name in _PARSERS if "." in name)
_DEFAULTS: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "address": DEFAULT_ADDRESS,
        "durability": str(Durability.LAYER),
        "workers": DEFAULT_WORKERS,
        "group": "",
        "containerd.address": CONTAINERD_ADDRESS,
        "containerd.root": CONTAINERD_ROOT,
        "containerd.on_unsafe": "reject",
        "containerd.share": "none",
        "metrics.address": "",
        "tracing.endpoint": "",
        "log.format": "text",
        "log.level": "info",
        "overlay.mount_options": (),
        "overlay.remap_ids": False,
        "limits.max_size": 0,
        "limits.backend": LIMIT_BACKENDS[0],
        "limits.min_free_percent": DEFAULT_MIN_FREE_PERCENT,
    }
)


def effective_settings(
    session: Session, config_file: str, options: Mapping[str, Value | None]
) -> dict[str, Setting]:
    """Return every setting that holds, by name.

    Args:
        session: Has the root and the driver of the command line or environment.
        config_file: A TOML file; "" for none.
        options: The command's own options by setting name; None where not given.

    Raises:
        NotFoundError: There is no such file.
        PermissionDeniedError: It cannot be read.
        InvalidArgumentError: The file is no TOML, names an unknown key or gives one
            a value that it cannot have.
    """
    holds = {name: Setting(name, value, "default") for name, value in _DEFAULTS.items()}
    holds["root"] = Setting("root", session.root, session.root_origin)
    holds["driver"] = Setting("driver", session.driver, session.driver_origin)
    for name, value in (read_config(config_file) if config_file else {}).items():
        if name not in holds or holds[name].origin == "default":
            holds[name] = Setting(name, value, config_file)
    for name, chosen in options.items():
        if chosen is not None:
            holds[name] = Setting(name, chosen, "--" + name.replace(".", "-"))
    return {name: holds[name] for name in _PARSERS}


def read_config(path: str) -> dict[str, Value]:
    """Return the settings in the TOML file ``path``, by name.

    Raises:
        NotFoundError: There is no such file.
        PermissionDeniedError: It cannot be read.
        InvalidArgumentError: It is no TOML, names an unknown key or gives one a
            value that it cannot have.
    """
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except FileNotFoundError as error:
        raise NotFoundError(f"configuration file {path!r} does not exist") from error
    except PermissionError as error:
        raise PermissionDeniedError(
            f"configuration file {path!r} cannot be read: {error.strerror}"
        ) from error
    except OSError as error:
        raise InvalidArgumentError(
            f"{path!r} is no configuration file: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path} is no valid TOML: {error}") from error
    values: dict[str, Value] = {}
    for name, value in _flatten(document).items():
        parse = _PARSERS.get(name)
        if parse is None:
            near = did_you_mean(name, list(_PARSERS))
            raise InvalidArgumentError(f"{path}: unknown key {name!r}{near}")
        try:
            values[name] = parse(value)
        except TypeError as error:
            raise InvalidArgumentError(
                f"{path}: {name!r} must be {error}, not {value!r}"
            ) from error
    return values


def _flatten(document: Mapping[str, object]) -> dict[str, object]:
    """Return the keys of the known tables with the table's name before them."""
    flat: dict[str, object] = {}
    for name, value in document.items():
        if name in _TABLES and isinstance(value, dict):
            flat.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = value
    return flat
