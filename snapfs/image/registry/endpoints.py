"""Where a registry's API is served: hosts, what they may be asked, and how."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from snapfs.errors import InvalidArgumentError

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Capability(Flag):
    """What a host may be asked for, in the words of containerd's hosts.toml."""

    PULL = auto()
    RESOLVE = auto()
    PUSH = auto()
    ALL = PULL | RESOLVE | PUSH


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Return whether the host can only be this machine."""
        return is_loopback(self.host)

    @property
    def authority(self) -> str:
        """Return ``host[:port]``, the port only where it is not the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == _DEFAULT_PORTS[self.scheme]:
            return host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return ``scheme://host[:port]``."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How a host proves who it is, and how we do.

    Attributes:
        authorities: Files of further certificate authorities (PEM).
        client_certificates: Pairs of certificate and key file; no key file where
            the certificate's file holds the key too.
        verify: False accepts any certificate of this host.
    """

    authorities: tuple[Path, ...] = ()
    client_certificates: tuple[tuple[Path, Path | None], ...] = ()
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host that serves the API of a registry, or mirrors it.

    Attributes:
        url: Up to and with the API's root, without a final slash.
        domain: The registry that it serves or mirrors.
        headers: Sent to this host alone, as credentials are; never shown.
        is_mirror: It is asked for another registry's content (``?ns=``).
        connect_timeout_s: 0 for the transport's own.
    """

    url: str
    domain: str
    capabilities: Capability = Capability.ALL
    tls: TlsSettings = TlsSettings()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_mirror: bool = False
    connect_timeout_s: float = 0.0

    @property
    def origin(self) -> Origin:
        """Return the origin of ``url``."""
        return origin_of(self.url)

    @property
    def host(self) -> str:
        """Return what messages call it: ``host[:port]``."""
        return self.origin.authority


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute http or https URL.

    Raises:
        InvalidArgumentError: It is no such URL, or has a user in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidArgumentError(f"{shown_url(url)!r} is not a URL") from error
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise InvalidArgumentError(f"{shown_url(url)!r} is not an http or https URL")
    if parts.username is not None:
        raise InvalidArgumentError("a registry's URL must not hold a user or password")
    return Origin(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])


def shown_url(url: str) -> str:
    """Return ``url`` for a message: without user, password, query and fragment.

    The query of a redirect to a storage service is a signature, as good as a
    password while it lasts.
    """
    head = url.partition("?")[0].partition("#")[0][:300]
    scheme, slashes, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    return scheme + slashes + authority.rpartition("@")[2] + slash + path


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is ``localhost`` or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
