"""Directory trees for tests, compared as a whole.

:mod:`support.tree_changes` has the changes of which they are made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_TYPE_NAMES: Final[Mapping[int, str]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}


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
