"""Which proxy a registry is reached through: the variables that Go's programs read.

``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY``, in upper or lower case, mean what
they mean to containerd and Docker (golang.org/x/net/http/httpproxy), so that one
setting serves all of them. What is on this machine is never asked through a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from urllib.parse import unquote, urlsplit

from snapfs.errors import InvalidArgumentError
from snapfs.image.registry.endpoints import Origin, origin_of

_SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy.

    Attributes:
        url: ``scheme://host:port``, fit for messages.
        login: ``user:password`` for it; "" for none.
    """

    url: str
    login: str = field(default="", repr=False)


@dataclass(frozen=True)
class Proxies:
    """The proxies for each scheme, and the hosts that are reached without.

    Attributes:
        by_scheme: ``http`` and ``https``, of the address that is wanted.
        exceptions: As ``NO_PROXY`` lists them: ``*``, a name (with all below it),
            ``.name`` (only those below), an address or a network, each but the
            first two of these kinds also with a port.
    """

    by_scheme: Mapping[str, Proxy] = field(default_factory=dict)
    exceptions: tuple[str, ...] = ()

    def find(self, url: str) -> Proxy | None:
        """Return the proxy for an address; None to go there directly."""
        origin = origin_of(url)
        proxy = self.by_scheme.get(origin.scheme)
        if proxy is None or origin.is_loopback or self._is_exempt(origin):
            return None
        return proxy

    def _is_exempt(self, origin: Origin) -> bool:
        return any(exception.covers(origin) for exception in self._exceptions)

    @cached_property
    def _exceptions(self) -> tuple[_Exception, ...]:
        return tuple(map(_Exception.parse, filter(None, self.exceptions)))


def read_proxies(environment: Mapping[str, str]) -> Proxies:
    """Return what the environment's variables say.

    Raises:
        InvalidArgumentError: A variable names no proxy, or one of a sort that is
            not ours.
    """
    by_scheme = {}
    for scheme in _SCHEMES:
        variable = f"{scheme.upper()}_PROXY"
        text = _value(environment, variable)
        if text:
            by_scheme[scheme] = _parse(text, variable)
    words = _value(environment, "NO_PROXY").split(",")
    return Proxies(by_scheme, tuple(word.strip().lower() for word in words))


def _value(environment: Mapping[str, str], variable: str) -> str:
    return (environment.get(variable) or environment.get(variable.lower(), "")).strip()


def _parse(text: str, variable: str) -> Proxy:
    # The value is not shown: it may hold a password.
    url = text if "://" in text else f"http://{text}"
    scheme, _, rest = url.partition("://")
    login, _, authority = rest.partition("/")[0].rpartition("@")
    if scheme not in _SCHEMES:
        raise InvalidArgumentError(
            f"{variable} names a proxy of the sort {scheme[:20]!r}; only http and https"
            " proxies can be used"
        )
    try:
        origin = origin_of(f"{scheme}://{authority}")
    except InvalidArgumentError:
        raise InvalidArgumentError(
            f"{variable} is not a proxy's address such as http://proxy:3128"
        ) from None
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return Proxy(f"{scheme}://{host}:{origin.port}", unquote(login))


@dataclass(frozen=True, slots=True)
class _Exception:
    """One word of NO_PROXY.

    Attributes:
        name: A host, lower case; "" for any.
        port: 0 for any.
        only_below: The name itself is not meant.
        network: What the word is instead of a name.
    """

    name: str = ""
    port: int = 0
    only_below: bool = False
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None

    @classmethod
    def parse(cls, word: str) -> _Exception:
        if word == "*":
            return cls()
        network = _network(word)
        if network is not None:
            return cls(network=network)
        host, port = _split_port(word)
        network = _network(host)
        if network is not None:
            return cls(port=port, network=network)
        host = host.removeprefix("*")
        return cls(host.removeprefix("."), port, only_below=host.startswith("."))

    def covers(self, origin: Origin) -> bool:
        if self.port and self.port != origin.port:
            return False
        if self.network is not None:
            try:
                return ipaddress.ip_address(origin.host) in self.network
            except ValueError:
                return False  # a name, and names are not looked up for this
        if not self.name:
            return True
        if origin.host == self.name:
            return not self.only_below
        return origin.host.endswith(f".{self.name}")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _split_port(word: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{word}")
        port = parts.port or 0
    except ValueError:
        return word, 0
    return parts.hostname or "", port
