"""Garbage that only others can tell: what containerd forgot, and mounts of nothing."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs import mountinfo
from snapfs.errors import SnapfsError
from snapfs.model import Kind, Owner, SnapshotDetails
from snapfs.mountinfo import MountEntry

_FUSE: Final = "fuse.snapfs-fuse"
_NS_PER_S: Final = 1_000_000_000


def forgotten_snapshots(
    details: Iterable[SnapshotDetails],
    known: Collection[tuple[str, str]],
    *,
    now_ns: int,
    grace_s: float,
) -> list[SnapshotDetails]:
    """Return containerd's snapshots that containerd does not know, children first.

    containerd calls a snapshot ``NAMESPACE/NUMBER/NAME`` here, and ``NAME`` in that
    namespace to its own callers. A committed one may be shared: another namespace then
    counts on it by the same name, whoever made it.

    A snapshot is made here before containerd's own record of it, so that those younger
    than ``grace_s`` are left out. Of several with one name it counts on one, and does
    not say which: all are left out. ``details`` must have been listed before ``known``.
    """
    found = []
    shared = {name for _, name in known}
    for each in details:
        if each.owner is not Owner.CONTAINERD:
            continue
        namespace, _, rest = each.info.name.partition("/")
        number, _, name = rest.partition("/")
        is_made_by_containerd = bool(name) and number.isdigit()
        age_s = (now_ns - each.info.created_ns) / _NS_PER_S
        is_known = (namespace, name) in known
        if each.info.kind is Kind.COMMITTED:
            is_known = name in shared
        if is_made_by_containerd and age_s >= grace_s and not is_known:
            found.append(each)
    return _children_first(found)


def _children_first(found: Sequence[SnapshotDetails]) -> list[SnapshotDetails]:
    by_name = {each.info.name: each for each in found}
    depth: dict[str, int] = {}
    for each in found:
        way = []
        at: SnapshotDetails | None = each
        while at is not None and at.info.name not in depth:
            way.append(at.info.name)
            at = by_name.get(at.info.parent)
        base = depth[at.info.name] if at is not None else 0
        for step, name in enumerate(reversed(way), 1):
            depth[name] = base + step
    return sorted(found, key=lambda each: depth[each.info.name], reverse=True)


@dataclass(frozen=True, slots=True)
class StoreMount:
    """A mount that shows or changes snapshots of a store.

    Attributes:
        target: Where it is.
        numbers: The numbers of the snapshots whose directories it uses.
    """

    target: str
    numbers: frozenset[int]


def store_mounts(snapshots: str, table: str = mountinfo.MOUNTINFO) -> list[StoreMount]:
    """Return the mounts that use directories below ``snapshots``.

    Overlays, bind mounts and FUSE mounts of snapfs are understood, those that this
    process can see. What one says with relative names is taken as far as it goes:
    containerd shortens long lists of layers so.
    """
    top = os.path.realpath(snapshots)
    entries = mountinfo.read(table)
    home = mountinfo.containing(top, table=table)
    found = []
    for entry in entries:
        numbers = frozenset(_numbers(_directories(entry, top, home), top))
        if numbers:
            found.append(StoreMount(entry.target, numbers))
    return found


def _directories(entry: MountEntry, top: str, home: MountEntry | None) -> Iterator[str]:
    """Yield what a mount uses, as paths of the host."""
    if entry.type == "overlay":
        yield from _of_options(entry.super_options)
    elif entry.type == _FUSE:
        yield from _of_options(_server_options(entry.device))
    elif home is not None and entry.device == home.device:
        # A bind mount: its root is a path within the filesystem that the store is on.
        inside = os.path.relpath(entry.root, home.root)
        yield os.path.normpath(os.path.join(home.target, inside))


def _of_options(options: Iterable[str]) -> Iterator[str]:
    for option in options:
        name, _, value = option.partition("=")
        if name in ("upperdir", "lowerdir+"):
            yield value
        elif name == "lowerdir":
            yield from value.split(":")


def _server_options(device: str) -> list[str]:
    """Return the options that a FUSE mount's server was started with."""
    from snapfs.fuse.control import read_statistics

    try:
        pid = read_statistics(device)["pid"]
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, SnapfsError):  # it ended, or is not ours to ask
        return []
    return [
        os.fsdecode(option)
        for flag, value in itertools.pairwise(words)
        if flag == b"-o"
        for option in value.split(b",")
    ]


def _numbers(directories: Iterable[str], top: str) -> Iterator[int]:
    for directory in directories:
        below = directory.removeprefix(top + "/")
        number = below.partition("/")[0]
        if below != directory and number.isascii() and number.isdigit():
            yield int(number)


def leaked_mounts(
    mounts: Iterable[StoreMount], numbers: Collection[int]
) -> Iterator[tuple[StoreMount, int]]:
    """Yield mounts that use a snapshot which is not one of ``numbers``, and which."""
    for mount in mounts:
        for number in sorted(mount.numbers):
            if number not in numbers:
                yield mount, number
                break


def numbers_of(details: Iterable[SnapshotDetails]) -> Mapping[int, SnapshotDetails]:
    """Return snapshots by the numbers of the directories that they need."""
    found = {}
    for each in details:
        for directory in (each.directory, os.path.dirname(each.content)):
            found[int(os.path.basename(directory))] = each
    return found
