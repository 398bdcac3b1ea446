"""What a case of the POSIX suite finds in its directory when it starts.

A builder makes one object in the directory that it is given. ``placed`` hands them
to the suite, which runs them on a plain directory, through a mount (so that the
objects are in the upper layer), or in a lower layer before that is mounted.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import pytest

Builder: TypeAlias = Callable[[Path], None]

OLD_NS: Final = 1_000_000_000 * 10**9
"""The access and modification time of everything that was placed: in 2001."""

USER: Final = 1001
GROUP: Final = 2001
"""An ordinary user, and the group; no such account need exist."""

OTHER_USER: Final = 1002
OTHER_GROUP: Final = 2002


def placed(*builders: Builder) -> pytest.MarkDecorator:
    """Have the objects of ``builders`` in the case's directory."""
    return pytest.mark.placed.with_args(*builders)  # a call would decorate a builder


def file(
    name: str,
    content: bytes = b"",
    *,
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
) -> Builder:
    """A regular file; ``owner`` is user and group."""

    def build(at: Path) -> None:
        (at / name).write_bytes(content)
        os.chown(at / name, *owner)
        os.chmod(at / name, mode)

    return build


def directory(
    name: str, *, mode: int = 0o755, owner: tuple[int, int] = (0, 0)
) -> Builder:
    """A directory."""

    def build(at: Path) -> None:
        (at / name).mkdir()
        os.chown(at / name, *owner)
        os.chmod(at / name, mode)

    return build


def itself(*, mode: int, owner: tuple[int, int] = (0, 0)) -> Builder:
    """Mode and owner of the case's own directory."""

    def build(at: Path) -> None:
        os.chown(at, *owner)
        os.chmod(at, mode)

    return build


def symlink(name: str, target: str) -> Builder:
    """A symbolic link."""
    return lambda at: os.symlink(target, at / name)


def hard_link(name: str, existing: str) -> Builder:
    """One more name of a file."""
    return lambda at: os.link(at / existing, at / name)


def fifo(name: str, *, mode: int = 0o644) -> Builder:
    """A named pipe."""
    return node(name, stat.S_IFIFO | mode)


def node(name: str, mode: int, major: int = 0, minor: int = 0) -> Builder:
    """What mknod(2) makes: ``mode`` has the type."""

    def build(at: Path) -> None:
        os.mknod(at / name, mode, os.makedev(major, minor))
        os.chmod(at / name, stat.S_IMODE(mode))

    return build


def bound_socket(name: str) -> Builder:
    """The socket that a server left behind."""

    def build(at: Path) -> None:
        here = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
        try:  # a socket's address has 108 bytes: too few for a long path
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(f"/proc/self/fd/{here}/{name}")
        finally:
            os.close(here)

    return build


def xattr(name: str, attribute: str, value: bytes) -> Builder:
    """An extended attribute of an object placed before; "." is the directory."""
    return lambda at: os.setxattr(at / name, attribute, value, follow_symlinks=False)


def holes(name: str, size: int, *written: tuple[int, bytes]) -> Builder:
    """A sparse file of ``size`` bytes with data at the offsets of ``written``."""

    def build(at: Path) -> None:
        with (at / name).open("wb") as sparse:
            sparse.truncate(size)
            for offset, content in written:
                sparse.seek(offset)
                sparse.write(content)

    return build


def make_old(at: Path) -> None:
    """Give the tree at ``at`` the times ``OLD_NS``, leaves first."""
    for path, directories, files in os.walk(at, topdown=False):
        for name in (*files, *directories):
            os.utime(Path(path, name), ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    os.utime(at, ns=(OLD_NS, OLD_NS))
