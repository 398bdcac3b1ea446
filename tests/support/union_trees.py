"""Layer stacks seen by the union engine and by the kernel's overlayfs, to compare."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec

from snapfs.fuse.union.layers import LayerStack, open_lower, open_upper
from snapfs.fuse.union.node import Directory, Node
from snapfs.fuse.union.union import Union, UnionOptions
from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import MNT_DETACH, MS_RDONLY, mount, umount2

DT_UNKNOWN = 0
P = ParamSpec("P")


def failure_of(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> int:
    """Return the errno with which a call fails; 0 if it does not."""
    try:
        call(*args, **kwargs)
    except OSError as error:
        return error.errno or -1
    return 0


class Admin:
    """A caller that may see everything."""

    def has_admin(self) -> bool:
        return True


class Ordinary:
    """A caller without capabilities."""

    def has_admin(self) -> bool:
        return False


@dataclasses.dataclass
class Row:
    """What can be seen of one entry; ``error`` is an errno in place of the rest."""

    mode: int = 0
    owner: tuple[int, int] = (0, 0)
    size: int = 0
    nlink: int = 0
    ino: int = 0
    rdev: int = 0
    mtime_ns: int = 0
    blocks: int = 0
    content: bytes = b""
    xattrs: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    entries: dict[bytes, tuple[int, int]] = dataclasses.field(default_factory=dict)
    error: int = 0


@contextlib.contextmanager
def opened_union(
    lowers: Sequence[Path],
    upper: Path | None = None,
    work: Path | None = None,
    *,
    data: Sequence[Path] = (),
    opaque_roots: Sequence[Path] = (),
    prefix: XattrPrefix = XattrPrefix.TRUSTED,
    **options: object,
) -> Iterator[Union]:
    """Open a union of directories; ``options`` are attributes of UnionOptions."""
    work_fd = None
    if work is not None:
        (work / "work").mkdir(parents=True, exist_ok=True)
        work_fd = os.open(work / "work", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack = LayerStack(
        open_upper(bytes(upper)) if upper is not None else None,
        work_fd,
        [
            *(
                open_lower(bytes(path), is_root_opaque=path in opaque_roots)
                for path in lowers
            ),
            *(open_lower(bytes(path), is_data_only=True) for path in data),
        ],
        prefix,
    )
    chosen = UnionOptions(prefix)
    for name, value in options.items():
        setattr(chosen, name, value)
    union = Union(stack, chosen)
    try:
        yield union
    finally:
        union.close()


@contextlib.contextmanager
def mounted_overlay(
    lowers: Sequence[Path],
    target: Path,
    upper: Path | None = None,
    work: Path | None = None,
    *options: str,
    data: Sequence[Path] = (),
) -> Iterator[Path]:
    """Mount the same directories by the kernel."""
    target.mkdir(exist_ok=True)
    lowerdir = ":".join(map(str, lowers)) + "".join(f"::{path}" for path in data)
    values = [f"lowerdir={lowerdir}", *options]
    if upper is not None:
        assert work is not None
        work.mkdir(exist_ok=True)
        values += [f"upperdir={upper}", f"workdir={work}"]
    flags = MS_RDONLY if upper is None else 0
    mount("overlay", target, "overlay", flags, ",".join(values).encode())
    try:
        yield target
    finally:
        umount2(target, MNT_DETACH)


def union_rows(union: Union) -> dict[bytes, Row]:
    """Walk a union; leave out names that a listing has and lookup does not."""
    rows: dict[bytes, Row] = {}
    _walk_union(union, union.nodes.root, b"", rows)
    return rows


def _walk_union(union: Union, node: Node, path: bytes, rows: dict[bytes, Row]) -> None:
    rows[path] = row = union_row(union, node)
    if not isinstance(node, Directory):
        return
    for entry in list(union.listing(node).entries):
        _, name, kind, layer, _ = entry
        if name in (b".", b".."):
            continue
        below = path + b"/" + name if path else name
        try:
            child = union.lookup(node, name)
            if child is None:
                continue
            assert union.lookup(node, name, layer) is child
        except OSError as error:
            rows[below] = Row(error=error.errno or -1)
            row.entries[name] = (kind, 0)
            continue
        row.entries[name] = (kind, union.entry_ino(node, entry))
        _walk_union(union, child, below, rows)


def union_row(union: Union, node: Node) -> Row:
    """Return what a union shows of one node."""
    status, ino, nlink = union.status(node)
    row = _row(status, ino, nlink)
    if stat.S_ISLNK(status.st_mode):
        row.content = union.read_link(node)
    elif stat.S_ISREG(status.st_mode):
        fd = union.open_data(node, os.O_RDONLY)
        with open(fd, "rb") as file:
            row.content = file.read()
    names = union.list_xattrs(node, Admin())
    row.xattrs = {name: union.get_xattr(node, name, Admin()) for name in names}
    return row


def mount_rows(root: Path) -> dict[bytes, Row]:
    """Walk a mount; leave out names that readdir has and lookup does not."""
    rows: dict[bytes, Row] = {}
    _walk_mount(bytes(root), b"", rows)
    return rows


def _walk_mount(full: bytes, path: bytes, rows: dict[bytes, Row]) -> None:
    status = os.lstat(full)
    rows[path] = row = _row(status, status.st_ino, status.st_nlink)
    names = os.listxattr(full, follow_symlinks=False)
    row.xattrs = {
        os.fsencode(name): os.getxattr(full, name, follow_symlinks=False)
        for name in names
    }
    if stat.S_ISLNK(status.st_mode):
        row.content = os.readlink(full)
    elif stat.S_ISREG(status.st_mode):
        row.content = Path(os.fsdecode(full)).read_bytes()
    elif stat.S_ISDIR(status.st_mode):
        with os.scandir(full) as iterator:
            entries = sorted((entry.name, entry) for entry in iterator)
        for name, entry in entries:
            below = path + b"/" + name if path else name
            try:
                below_status = os.lstat(entry.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                rows[below] = Row(error=error.errno or -1)
                row.entries[name] = (_type_of(entry), 0)
                continue
            kind = _type_of(entry) or stat.S_IFMT(below_status.st_mode) >> 12
            row.entries[name] = (kind, entry.inode())
            _walk_mount(entry.path, below, rows)


def _type_of(entry: os.DirEntry[bytes]) -> int:
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG >> 12
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR >> 12
    return stat.S_IFLNK >> 12 if entry.is_symlink() else DT_UNKNOWN


def _row(status: os.stat_result, ino: int, nlink: int) -> Row:
    is_directory = stat.S_ISDIR(status.st_mode)
    return Row(
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        # The size of a directory is its filesystem's own affair.
        size=0 if is_directory else status.st_size,
        nlink=nlink,
        ino=ino,
        rdev=status.st_rdev,
        mtime_ns=status.st_mtime_ns,
        blocks=0 if is_directory else status.st_blocks,
    )
