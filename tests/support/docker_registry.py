"""Debian's ``docker-registry`` on a loopback port, with its own storage."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from support.sandbox import REPOSITORY, wait_until

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


@cache
def find_program() -> Path | None:
    """Return the installed program, or one unpacked into the repository's cache."""
    found = shutil.which("docker-registry")
    if found:
        return Path(found)
    unpacked = REPOSITORY / ".cache/docker-registry/usr/bin/docker-registry"
    return unpacked if unpacked.exists() else None


@contextlib.contextmanager
def docker_registry(folder: Path, upstream: str = "") -> Iterator[str]:
    """Run a registry for the time of the block; yield its ``host:port``.

    With ``upstream``, a URL, it is a pull-through cache of that registry.
    """
    program = find_program()
    if program is None:
        pytest.skip("needs docker-registry: apt-get install docker-registry")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    text = _CONFIGURATION.format(storage=folder / "storage", port=port)
    text += _PROXY.format(upstream=upstream) if upstream else ""
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
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/"):
            return True
    except urllib.error.URLError:
        return False
