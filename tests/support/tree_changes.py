"""Trees for tests, written down as changes.

One description can be applied to a plain directory and to a mounted layer, which must
then look the same (:mod:`support.trees` compares them)::

    base = (Directory("etc"), File("etc/hosts", b"127.0.0.1 localhost\n"))
    apply_changes(plain, base)
    apply_changes(merged, base)
    assert differences(merged, plain) == []

Paths are relative to the root of the tree; "." is the root itself. Modes are set
exactly, whatever the umask.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Change(Protocol):
    """One step that turns a tree into another; fails as its system call fails."""

    def apply(self, root: Path) -> None: ...


def apply_changes(root: Path, changes: Iterable[Change]) -> None:
    """Apply ``changes`` to the tree at ``root``, in their order."""
    for change in changes:
        change.apply(root)


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """Write a regular file; one that is there is truncated, not replaced."""

    path: str
    content: bytes = b""
    mode: int = 0o644

    def apply(self, root: Path) -> None:
        (root / self.path).write_bytes(self.content)
        (root / self.path).chmod(self.mode)


@dataclasses.dataclass(frozen=True, slots=True)
class Overwrite:
    """Write ``content`` at ``offset`` of a file that is there, in place."""

    path: str
    content: bytes
    offset: int = 0

    def apply(self, root: Path) -> None:
        with (root / self.path).open("r+b") as file:
            file.seek(self.offset)
            file.write(self.content)


@dataclasses.dataclass(frozen=True, slots=True)
class Sized:
    """Set the length of a file; truncate(2)."""

    path: str
    size: int

    def apply(self, root: Path) -> None:
        os.truncate(root / self.path, self.size)


@dataclasses.dataclass(frozen=True, slots=True)
class Directory:
    """Make a directory; its parent must be there."""

    path: str
    mode: int = 0o755

    def apply(self, root: Path) -> None:
        (root / self.path).mkdir()
        (root / self.path).chmod(self.mode)


@dataclasses.dataclass(frozen=True, slots=True)
class Symlink:
    """Make a symbolic link that reads ``target``."""

    path: str
    target: str

    def apply(self, root: Path) -> None:
        (root / self.path).symlink_to(self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class HardLink:
    """Give ``existing`` a second name, ``path``; never follows a symbolic link."""

    path: str
    existing: str

    def apply(self, root: Path) -> None:
        os.link(root / self.existing, root / self.path, follow_symlinks=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Fifo:
    """Make a named pipe of mode 0644."""

    path: str

    def apply(self, root: Path) -> None:
        os.mkfifo(root / self.path)
        (root / self.path).chmod(0o644)


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """Make a device node of mode 0600; ``file_type`` is S_IFCHR or S_IFBLK."""

    path: str
    major: int
    minor: int
    file_type: int = stat.S_IFCHR

    def apply(self, root: Path) -> None:
        device = os.makedev(self.major, self.minor)
        os.mknod(root / self.path, self.file_type | 0o600, device)


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Remove an object, a directory with all that it holds."""

    path: str

    def apply(self, root: Path) -> None:
        path = root / self.path
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@dataclasses.dataclass(frozen=True, slots=True)
class Rename:
    """Rename ``path`` to ``target``, replacing a file there; rename(2)."""

    path: str
    target: str

    def apply(self, root: Path) -> None:
        (root / self.path).rename(root / self.target)


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """Set the permission bits; chmod(2)."""

    path: str
    mode: int

    def apply(self, root: Path) -> None:
        (root / self.path).chmod(self.mode)


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """Set the owner; a symbolic link's own, lchown(2)."""

    path: str
    uid: int
    gid: int

    def apply(self, root: Path) -> None:
        os.lchown(root / self.path, self.uid, self.gid)


@dataclasses.dataclass(frozen=True, slots=True)
class ModifiedAt:
    """Set the times of access and modification."""

    path: str
    mtime_ns: int

    def apply(self, root: Path) -> None:
        times = (self.mtime_ns, self.mtime_ns)
        os.utime(root / self.path, ns=times, follow_symlinks=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Xattr:
    """Set an extended attribute; None removes it."""

    path: str
    name: str
    value: bytes | None

    def apply(self, root: Path) -> None:
        if self.value is None:
            os.removexattr(root / self.path, self.name, follow_symlinks=False)
        else:
            os.setxattr(root / self.path, self.name, self.value, follow_symlinks=False)
