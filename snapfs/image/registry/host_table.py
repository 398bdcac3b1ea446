"""One host's table of a ``hosts.toml``, read with its types checked.

The keys are those of containerd's docs/hosts.md. Values are never repeated in a
message: a header's value is often a password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from snapfs.errors import InvalidArgumentError
from snapfs.image.registry.endpoints import Capability, TlsSettings

_CAPABILITIES: Final = {
    "pull": Capability.PULL,
    "resolve": Capability.RESOLVE,
    "push": Capability.PUSH,
    # Of containerd 2.x: it asks such a host for signatures and the like.
    "referrers": Capability(0),
}

# Go's durations, as far as a timeout needs them.
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

# RFC 9110: names are tokens, values have no control characters.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class HostTable:
    """Settings of one host; ``label`` is what messages call the table.

    Every method raises ``InvalidArgumentError`` for a value of the wrong type,
    naming the file and the key.
    """

    def __init__(self, path: Path, table: Mapping[str, Any], label: str) -> None:
        self.path = path
        self._table = table
        self._label = label

    def text(self, key: str) -> str:
        """Return a string; "" where the key is missing."""
        value = self._table.get(key, "")
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean; False where the key is missing."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def capabilities(self) -> Capability:
        """Return what the host may be asked for: everything, unless it is said."""
        listed = self._strings("capabilities")
        if not listed:
            return Capability.ALL
        found = Capability(0)
        for word in listed:
            if word not in _CAPABILITIES:
                raise self._wrong("capabilities", "of pull, resolve and push")
            found |= _CAPABILITIES[word]
        return found

    def tls(self) -> TlsSettings:
        """Return how the host proves who it is; paths start at the file's folder."""
        folder = self.path.parent
        return TlsSettings(
            tuple(folder / name for name in self._strings("ca")),
            tuple(self._client_certificates()),
            verify=not self.flag("skip_verify"),
        )

    def headers(self) -> dict[str, str]:
        """Return the headers that go to this host; lists are joined by commas."""
        table = self._table.get("header", {})
        if not isinstance(table, dict):
            raise self._wrong("header", "a table")
        found = {}
        for name, value in table.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(one, str) for one in values):
                raise self._wrong(f"header.{name}", "a string or a list of strings")
            joined = ", ".join(values)
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(joined):
                raise self._wrong(f"header.{name}", "an HTTP header")
            found[name.title()] = joined  # one spelling, so that ours replace it
        return found

    def timeout_s(self) -> float:
        """Return ``dial_timeout`` in seconds; 0 where it is missing."""
        text = self.text("dial_timeout")
        if not text:
            return 0.0
        if not _DURATION.fullmatch(text):
            raise self._wrong("dial_timeout", "a duration such as 5s")
        parts = _DURATION_PART.findall(text)
        return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))

    def _strings(self, key: str) -> list[str]:
        value = self._table.get(key, [])
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in values):
            raise self._wrong(key, "a string or a list of strings")
        return values

    def _client_certificates(self) -> list[tuple[Path, Path | None]]:
        # A string, a list of strings, or a list of pairs [certificate, key].
        folder = self.path.parent
        value = self._table.get("client", [])
        found: list[tuple[Path, Path | None]] = []
        for one in value if isinstance(value, list) else [value]:
            match one:
                case str(certificate) | [str(certificate)] | [str(certificate), ""]:
                    found.append((folder / certificate, None))
                case [str(certificate), str(key)]:
                    found.append((folder / certificate, folder / key))
                case _:
                    raise self._wrong("client", "a file or pairs of files")
        return found

    def _wrong(self, key: str, expected: str) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"'{self.path}': {key!r} of {self._label} is not {expected}"
        )
