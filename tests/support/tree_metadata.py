"""All metadata of a directory tree, entry by entry, and what differs between two.

Unlike :mod:`support.trees` this knows times, names that are no text, files too large
for the memory, and names that a listing shows and nobody can open.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Final

_TYPES: Final[Mapping[int, str]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}

GHOST: Final = "listed, but not there"
"""The type of a name that readdir(3) shows and lstat(2) does not find."""

_PIECE_BYTES: Final = 1 << 20
# Set by the kernel's policy, not by who unpacks.
_LABEL: Final = "security.selinux"


@dataclasses.dataclass(frozen=True, slots=True)
class Metadata:
    """One name.

    Attributes:
        size: Of a file; 0 for all else.
        content: The SHA-256 of a file, the target of a symlink, else b"".
        device: Of a device node.
        links: All names in the tree of an object that has several, else none.
    """

    type: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    content: bytes = b""
    device: tuple[int, int] = (0, 0)
    mtime_ns: int = 0
    xattrs: dict[str, bytes] = dataclasses.field(default_factory=dict)
    links: tuple[bytes, ...] = ()


Tree = dict[bytes, Metadata]


def read_metadata(root: bytes) -> Tree:
    """Return every name below ``root`` by its path; b"." is the root itself."""
    found = dict(_walk(root))
    groups: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)
    for path, status in found.items():
        if status and not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            groups[status.st_dev, status.st_ino].append(path)
    digests: dict[tuple[int, int], bytes] = {}
    tree: Tree = {}
    for path, status in found.items():
        if status is None:
            tree[path] = Metadata(GHOST)
            continue
        identity = (status.st_dev, status.st_ino)
        names = groups.get(identity, ())
        content = digests.get(identity) if names else None
        if content is None:
            content = _content(os.path.join(root, path), status)
        if names:
            digests[identity] = content
        links = tuple(sorted(names)) if len(names) > 1 else ()
        tree[path] = _metadata(os.path.join(root, path), status, content, links)
    return tree


def compare(have: Tree, want: Tree, ignored: Collection[str] = ()) -> list[str]:
    """Say what differs between two trees, a line each; none if they are equal.

    ``ignored`` names fields of :class:`Metadata` that do not count.
    """
    fields = [f.name for f in dataclasses.fields(Metadata) if f.name not in ignored]
    lines = []
    for path in sorted(have.keys() | want.keys()):
        shown = ascii(os.fsdecode(path))
        if path not in want:
            lines.append(f"{shown} is there ({have[path].type}), but should not be")
        elif path not in have:
            lines.append(f"{shown} is missing")
        elif have[path] != want[path]:
            for name in fields:
                left, right = getattr(have[path], name), getattr(want[path], name)
                if left != right:
                    as_text = oct if name == "mode" else ascii
                    lines.append(
                        f"{shown}: {name} is {as_text(left)}, expected {as_text(right)}"
                    )
    return lines


def _walk(root: bytes) -> Iterator[tuple[bytes, os.stat_result | None]]:
    yield b".", os.lstat(root)
    todo = [b""]
    while todo:
        directory = todo.pop()
        for name in os.listdir(os.path.join(root, directory)):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(os.path.join(root, path))
            except FileNotFoundError:
                yield path, None
                continue
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                todo.append(path)


def _metadata(
    path: bytes, status: os.stat_result, content: bytes, links: tuple[bytes, ...]
) -> Metadata:
    file_type = stat.S_IFMT(status.st_mode)
    is_device = file_type in (stat.S_IFCHR, stat.S_IFBLK)
    number = status.st_rdev
    return Metadata(
        type=_TYPES[file_type],
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if file_type == stat.S_IFREG else 0,
        content=content,
        device=(os.major(number), os.minor(number)) if is_device else (0, 0),
        mtime_ns=status.st_mtime_ns,
        xattrs={
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(os.listxattr(path, follow_symlinks=False))
            if name != _LABEL
        },
        links=links,
    )


def _content(path: bytes, status: os.stat_result) -> bytes:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return b""
    return digest_of_file(path)


def digest_of_file(path: bytes) -> bytes:
    """Return the SHA-256 of a file, of any size."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.digest()
