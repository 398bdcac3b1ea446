"""containerd's ``hosts.toml``: which hosts serve a registry's images, in order.

The format is that of containerd's docs/hosts.md: a folder for each registry
(``host_port_``, ``host:port``, else ``_default``), in it ``hosts.toml``, or
Docker's older layout of bare certificate files.
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from snapfs.errors import InvalidArgumentError
from snapfs.image.registry.endpoints import (
    Capability,
    Endpoint,
    TlsSettings,
    is_loopback,
    origin_of,
    shown_url,
)
from snapfs.image.registry.host_table import HostTable
from snapfs.image.registry.name import RegistryName

_API_ROOT: Final = "/v2"
# Generous: the file lists a few hosts.
_LARGEST_FILE: Final = 1 << 20


def find_endpoints(
    name: RegistryName, folders: Sequence[Path] = ()
) -> tuple[Endpoint, ...]:
    """Return the hosts to ask for ``name``, in the order to ask them.

    The first of ``folders`` (such as ``/etc/containerd/certs.d``) that says
    something of the registry decides; mirrors come first, the registry itself
    last. Without any word, the registry itself is asked: by https, but a loopback
    host with a port other than 443 by http.

    Raises:
        InvalidArgumentError: A ``hosts.toml`` is malformed; the message names it.
        OSError: One that exists cannot be read.
    """
    for folder in folders:
        found = _registry_folder(folder, name.domain)
        if found is not None:
            return _read_folder(found, name)
    return (_default_endpoint(name),)


def _registry_folder(folder: Path, domain: str) -> Path | None:
    # ``host_port_`` is for filesystems that cannot have a colon in a name.
    host, colon, port = domain.rpartition(":")
    names = [f"{host}_{port}_"] if colon and port.isdigit() else []
    for candidate in (*names, domain, "_default"):
        if (folder / candidate).is_dir():
            return folder / candidate
    return None


def _read_folder(folder: Path, name: RegistryName) -> tuple[Endpoint, ...]:
    path = folder / "hosts.toml"
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return (_default_endpoint(name, _certificate_files(folder)),)
    if len(content) > _LARGEST_FILE:
        raise InvalidArgumentError(f"'{path}' is larger than {_LARGEST_FILE} bytes")
    try:
        document = tomllib.loads(content.decode())
    except ValueError as error:  # also what the decoder raises
        raise InvalidArgumentError(f"'{path}' is not TOML: {error}") from error
    endpoints = tuple(_endpoints(path, document, name))
    if not endpoints:
        raise InvalidArgumentError(f"'{path}' leaves no host for {name.domain!r}")
    return endpoints


def _endpoints(
    path: Path, document: Mapping[str, Any], name: RegistryName
) -> Iterator[Endpoint]:
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise InvalidArgumentError(f"'{path}': 'host' is not a table")
    for url, settings in hosts.items():  # tomllib keeps the file's order
        if not isinstance(settings, dict):
            raise InvalidArgumentError(f"'{path}': the host {url!r} is not a table")
        yield _endpoint(
            HostTable(path, settings, f"host {shown_url(url)!r}"), url, name
        )
    table = HostTable(path, document, "the file")
    server = table.text("server")
    if server:
        yield _endpoint(table, server, name)
        return
    own = _default_endpoint(name, table.tls())
    yield Endpoint(
        own.url,
        own.domain,
        table.capabilities(),
        own.tls,
        table.headers(),
        connect_timeout_s=table.timeout_s(),
    )


def _endpoint(table: HostTable, url: str, name: RegistryName) -> Endpoint:
    url = url if "://" in url else f"https://{url}"
    try:
        origin = origin_of(url)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"'{table.path}': {error}") from error
    path = urlsplit(url).path.rstrip("/")
    if not table.flag("override_path") and not path.endswith(_API_ROOT):
        path = posixpath.join(path or "/", _API_ROOT[1:])
    return Endpoint(
        f"{origin}{path}",
        name.domain,
        table.capabilities(),
        table.tls(),
        table.headers(),
        is_mirror=origin.authority not in (name.domain, name.api_host),
        connect_timeout_s=table.timeout_s(),
    )


def _default_endpoint(name: RegistryName, tls: TlsSettings | None = None) -> Endpoint:
    tls = tls or TlsSettings()
    secure = origin_of(f"https://{name.api_host}")
    plain = is_loopback(secure.host) and secure.port != 443 and tls == TlsSettings()
    scheme = "http" if plain else "https"
    url = f"{scheme}://{name.api_host}{_API_ROOT}"
    return Endpoint(url, name.domain, Capability.ALL, tls)


def _certificate_files(folder: Path) -> TlsSettings:
    # Docker's layout: NAME.crt is an authority; NAME.cert and NAME.key are ours.
    pairs: list[tuple[Path, Path | None]] = []
    for certificate in sorted(folder.glob("*.cert")):
        key = certificate.with_suffix(".key")
        if not key.is_file():
            raise InvalidArgumentError(f"'{certificate}' is there without '{key}'")
        pairs.append((certificate, key))
    return TlsSettings(tuple(sorted(folder.glob("*.crt"))), tuple(pairs))
