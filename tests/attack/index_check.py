"""Is a layer's directory what its index says?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from attack.on_disk import Found

from snapfs.layer.index import IndexEntry, LayerIndex
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Policy, SetuidPolicy
from snapfs.layer.xattrs import XattrFilter
from snapfs.overlay_format import XattrPrefix


def index_differences(
    found: dict[bytes, Found], index: LayerIndex, policy: Policy, prefix: XattrPrefix
) -> list[str]:
    """Say where the disk is not what the index says; nothing if it is."""
    named = {b"": index.entry(0)}
    named |= {path: index.entry(node) for path, node in index.walk()}
    # Only the layers below can make those.
    expected = {p: e for p, e in named.items() if e.kind != Kind.LOWER_LINK}
    lines = [f"{p!r}: on one side only" for p in found.keys() ^ expected.keys()]
    with_whiteouts = {
        path.rpartition(b"/")[0]
        for path, entry in expected.items()
        if entry.kind == Kind.WHITEOUT
    }
    filter_ = XattrFilter(policy, prefix)
    for path in found.keys() & expected.keys():
        marked = path in with_whiteouts and expected[path].kind == Kind.DIRECTORY
        lines += [
            f"{path!r}: {text}"
            for text in _compared(
                found[path], expected[path], policy, filter_, prefix, marked=marked
            )
        ]
    return sorted(lines + _group_differences(found, expected))


# A filesystem sets the nearest time that it can hold; this much all can.
_ANY_DISK_NS: Final = 10**9 << 31

_TYPES: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.WHITEOUT: stat.S_IFCHR,
}


def _compared(
    item: Found,
    entry: IndexEntry,
    policy: Policy,
    filter_: XattrFilter,
    prefix: XattrPrefix,
    *,
    marked: bool,
) -> Iterator[str]:
    if item.kind != _TYPES[entry.kind]:
        yield f"is {item.kind:o}, not {entry.kind.words}"
    elif entry.kind == Kind.WHITEOUT:
        if not item.is_whiteout:
            yield "is no whiteout"
    else:
        yield from _content_differences(item, entry)
        yield from _attribute_differences(item, entry, policy)
        wanted = _wanted_xattrs(entry, filter_, prefix, marked=marked)
        if item.xattrs != wanted:
            yield f"xattrs {item.xattrs}, not {wanted}"


def _content_differences(item: Found, entry: IndexEntry) -> Iterator[str]:
    status = item.status
    if entry.kind in (Kind.FILE, Kind.SYMLINK) and status.st_size != entry.size_bytes:
        yield f"{status.st_size} bytes, not {entry.size_bytes}"
    if entry.kind == Kind.SYMLINK and item.content != entry.link_target:
        yield f"leads to {item.content!r}, not {entry.link_target!r}"
    device = os.major(status.st_rdev), os.minor(status.st_rdev)
    if device != entry.device:
        yield f"device {device}, not {entry.device}"


def _attribute_differences(
    item: Found, entry: IndexEntry, policy: Policy
) -> Iterator[str]:
    status = item.status
    mode = entry.mode
    if policy.setuid is SetuidPolicy.STRIP and entry.kind != Kind.DIRECTORY:
        mode &= 0o1777
    if item.mode != mode and entry.kind != Kind.SYMLINK:
        yield f"mode {item.mode:o}, not {mode:o}"
    if policy.keep_owners and (status.st_uid, status.st_gid) != (entry.uid, entry.gid):
        yield f"owner {status.st_uid}:{status.st_gid}, not {entry.uid}:{entry.gid}"
    if status.st_mtime_ns != entry.mtime_ns and abs(entry.mtime_ns) < _ANY_DISK_NS:
        yield f"mtime {status.st_mtime_ns}, not {entry.mtime_ns}"


def _wanted_xattrs(
    entry: IndexEntry, filter_: XattrFilter, prefix: XattrPrefix, *, marked: bool
) -> dict[bytes, bytes]:
    wanted = filter_.stored(entry.xattrs)
    if entry.kind not in (Kind.FILE, Kind.DIRECTORY):
        # xattr(7): user attributes are for files and directories only.
        wanted = {k: v for k, v in wanted.items() if not k.startswith(b"user.")}
    if entry.is_opaque and entry.node:
        wanted[os.fsencode(prefix.attribute("opaque"))] = b"y"
    if marked:
        wanted[os.fsencode(prefix.attribute("origin"))] = b""
    return wanted


def _group_differences(
    found: dict[bytes, Found], expected: dict[bytes, IndexEntry]
) -> list[str]:
    """Compare which names are names of the same object."""
    on_disk: dict[int, set[bytes]] = {}
    in_index: dict[int, set[bytes]] = {}
    for path in found.keys() & expected.keys():
        entry = expected[path]
        if entry.kind in (Kind.DIRECTORY, Kind.WHITEOUT):
            continue
        on_disk.setdefault(found[path].status.st_ino, set()).add(path)
        in_index.setdefault(entry.group or -entry.node, set()).add(path)
    same = sorted(map(sorted, on_disk.values())) == sorted(
        map(sorted, in_index.values())
    )
    return [] if same else [f"link groups {on_disk}, not {in_index}"]
