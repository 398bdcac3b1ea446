"""Directory trees for tests: written down as changes, compared as a whole.

A tree is written as a sequence of changes, so that one description can be applied
to a plain directory and to a mounted layer, which must then look the same::

    base = (Directory("etc"), File("etc/hosts", b"127.0.0.1 localhost\n"))
    apply_changes(plain, base)
    apply_changes(merged, base)
    assert differences(merged, plain) == []

Paths are relative to the root of the tree; "." is the root itself. Modes are set
exactly, whatever the umask.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

_TYPE_NAMES: Final[Mapping[int, str]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


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


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """All that is compared of one object.

    Attributes:
        type: "file", "directory", "symlink" and so on.
        mode: The permission bits, set-ID and sticky bits included.
        size: Of a file or a symbolic link; 0 for all else, where it means little.
        content: The SHA-256 of a file, the target of a symbolic link, else "".
        device: "major:minor" of a device node, else "".
        links: All names in this tree of one object that has several; else none.
    """

    type: str
    mode: int
    uid: int
    gid: int
    size: int
    content: str
    device: str
    xattrs: Mapping[str, bytes]
    links: tuple[str, ...]


def read_tree(root: Path) -> dict[str, Entry]:
    """Return every object below ``root`` by its path; "." is the root itself."""
    found = {path: os.lstat(root / path) for path in _walk(root)}
    names: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for path, status in found.items():
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            names[status.st_dev, status.st_ino].append(path)
    return {
        path: _read_entry(
            root / path, status, names.get((status.st_dev, status.st_ino), [])
        )
        for path, status in found.items()
    }


def differences(actual: Path, expected: Path) -> list[str]:
    """Say what differs between two trees, one line each; none if they are equal.

    Compared are types, modes, owners, sizes, contents, symbolic link targets,
    device numbers, extended attributes and which names are hard links of each
    other. Times, inode numbers and link counts are not.
    """
    have, want = read_tree(actual), read_tree(expected)
    lines = []
    for path in sorted(have.keys() | want.keys()):
        if path not in want:
            lines.append(f"{path}: is there, but should not be")
        elif path not in have:
            lines.append(f"{path}: is missing")
        else:
            lines += _compare(path, have[path], want[path])
    return lines


def _walk(root: Path, path: str = ".") -> Iterator[str]:
    yield path
    with os.scandir(root / path) as children:
        ordered = sorted(children, key=lambda child: child.name)
    for child in ordered:
        name = child.name if path == "." else f"{path}/{child.name}"
        if child.is_dir(follow_symlinks=False):
            yield from _walk(root, name)
        else:
            yield name


def _read_entry(path: Path, status: os.stat_result, links: list[str]) -> Entry:
    file_type = stat.S_IFMT(status.st_mode)
    content, size, device = "", 0, ""
    if file_type == stat.S_IFREG:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        size = status.st_size
    elif file_type == stat.S_IFLNK:
        content, size = os.readlink(path), status.st_size
    elif file_type in (stat.S_IFCHR, stat.S_IFBLK):
        device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return Entry(
        type=_TYPE_NAMES[file_type],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=size,
        content=content,
        device=device,
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))
        },
        links=tuple(links),
    )


def _compare(path: str, have: Entry, want: Entry) -> Iterator[str]:
    for field in dataclasses.fields(Entry):
        left, right = getattr(have, field.name), getattr(want, field.name)
        if left != right:
            shown = oct if field.name == "mode" else repr
            yield f"{path}: {field.name} is {shown(left)}, expected {shown(right)}"
