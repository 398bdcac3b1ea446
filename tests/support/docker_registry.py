"""Debian's ``docker-registry`` on a loopback port, with its own storage."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from support.sandbox import REPOSITORY, wait_until
from support.token_service import TokenService

_CONFIGURATION: Final = """\
version: 0.1
log:
  level: error
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""

_PROXY: Final = """\
proxy:
  remoteurl: {upstream}
"""

_TLS: Final = """\
  tls:
    certificate: {certificate}
    key: {key}
"""

_PASSWORDS: Final = """\
auth:
  htpasswd:
    realm: test
    path: {path}
"""

_TOKENS: Final = """\
auth:
  token:
    realm: {realm}
    service: {service}
    issuer: {issuer}
    rootcertbundle: {certificate}
"""

USER: Final = "me"
PASSWORD: Final = "secret"
# bcrypt, the only form that the registry reads.
_HASH: Final = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"


@cache
def find_program() -> Path | None:
    """Return the installed program, or one unpacked into the repository's cache."""
    found = shutil.which("docker-registry")
    if found:
        return Path(found)
    unpacked = REPOSITORY / ".cache/docker-registry/usr/bin/docker-registry"
    return unpacked if unpacked.exists() else None


@contextlib.contextmanager
def docker_registry(
    folder: Path,
    upstream: str = "",
    *,
    certificate: Path | None = None,
    has_users: bool = False,
    tokens: TokenService | None = None,
) -> Iterator[str]:
    """Run a registry for the time of the block; yield its ``host:port``.

    Args:
        folder: Its own, made here.
        upstream: It is a pull-through cache of the registry with this URL.
        certificate: It speaks https with it; the key lies beside it.
        has_users: It lets in none but ``USER`` with ``PASSWORD``.
        tokens: It lets in whom this service lets in.
    """
    program = find_program()
    if program is None:
        pytest.skip("needs docker-registry: apt-get install docker-registry")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    text = _CONFIGURATION.format(storage=folder / "storage", port=port)
    if certificate is not None:
        text += _TLS.format(
            certificate=certificate, key=certificate.with_suffix(".key")
        )
    text += _PROXY.format(upstream=upstream) if upstream else ""
    if has_users:
        (folder / "users").write_text(f"{USER}:{_HASH}\n")
        text += _PASSWORDS.format(path=folder / "users")
    if tokens is not None:
        text += _TOKENS.format(
            realm=tokens.realm,
            service=tokens.service,
            issuer=tokens.issuer,
            certificate=tokens.certificate,
        )
    (folder / "config.yml").write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", folder / "config.yml"], stdout=log, stderr=log
        )
    try:
        wait_until(lambda: _is_up(process, port), "docker-registry answers")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _is_up(process: subprocess.Popen[bytes], port: int) -> bool:
    assert process.poll() is None, "docker-registry ended"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
