"""What a layer's directory should hold, by the index of its tar.

The index says what the tar says; what of that reaches a disk is the policy's choice,
and what the layer only implies is as the layers below have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from snapfs.inspect.merged import MergedTree
from snapfs.layer.attributes import SET_ID
from snapfs.layer.index import IndexEntry, LayerIndex
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from snapfs.layer.xattrs import XattrFilter
from snapfs.overlay_format import XattrPrefix

_DEVICES: Final = (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
_NS: Final = 1_000_000_000
# Times that every filesystem which can hold a store keeps to the second: ext4 with
# small inodes has no others.
_SECONDS: Final = range(1 << 31)


@dataclass(frozen=True, slots=True)
class Expected:
    """One name that should be on disk; None stands for what nobody knows.

    Attributes:
        entry: What the tar, or the layer below, says of it.
        kind: What it is on disk.
        size_bytes: Of a file.
        mode: Permission bits.
        owner: User and group.
        mtime_s: Of a file, to the second.
        xattrs: Under their names on disk, the marks of overlayfs left out.
        has_body: It is a file whose content the layer's blob has.
    """

    entry: IndexEntry
    kind: Kind | None
    size_bytes: int | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None
    mtime_s: int | None = None
    xattrs: Mapping[bytes, bytes] | None = None
    has_body: bool = False


class LayerExpectation:
    """What one layer's directory should hold.

    Args:
        indexes: The layer's index, last, and those of all layers below it, the
            lowest first; alone where one of these is not known.
        is_lowest: It lies on nothing, so that whiteouts and marks were not written.
        is_complete: All layers below are in ``indexes``.
        policy: By which it was unpacked; None if that is not known: then modes,
            owners, devices and extended attributes are anybody's.
        prefix: Of overlayfs's marks.
    """

    def __init__(
        self,
        indexes: Sequence[LayerIndex],
        *,
        is_lowest: bool,
        is_complete: bool,
        policy: Policy | None,
        prefix: XattrPrefix,
    ) -> None:
        self.index: Final = indexes[-1]
        self.prefix: Final = prefix
        self.is_lowest: Final = is_lowest
        self._tree = MergedTree(indexes) if is_complete else None
        self._policy = policy
        self._filter = XattrFilter(policy or Policy(), prefix)

    def is_policed(self, name: bytes) -> bool:
        """Whether the policy would have kept a layer's extended attribute ``name``."""
        return self._filter.stored_name(name) == name

    def expected(self, node: int, path: bytes) -> Expected | None:
        """Return what should be at a path of the index; None if nothing should."""
        entry = self.index.entry(node)
        if entry.kind is Kind.WHITEOUT:
            return None if self.is_lowest else Expected(entry, Kind.WHITEOUT)
        if entry.kind in _DEVICES and (
            self._policy is None or self._policy.devices is not DevicePolicy.ALLOW
        ):
            return self._device(entry)
        if entry.kind is Kind.LOWER_LINK or entry.is_implied:
            return self._of_below(entry, path)
        has_body = entry.kind is Kind.FILE
        return replace(self._of_entry(entry), has_body=has_body)

    def _device(self, entry: IndexEntry) -> Expected | None:
        if self._policy is None:
            return Expected(entry, None)
        if self._policy.devices is DevicePolicy.SKIP:
            return None
        return replace(self._of_entry(entry), kind=Kind.FILE, size_bytes=0)

    def _of_below(self, entry: IndexEntry, path: bytes) -> Expected:
        """Return what a name takes from the layers below."""
        place = self._tree.lookup(path) if self._tree is not None else None
        if self._tree is None or place is None:
            kind = Kind.DIRECTORY if entry.is_implied else None
            return Expected(entry, kind)
        found = self._tree.entry(place)
        if found.kind is Kind.LOWER_LINK:  # nobody has what it links to
            return Expected(entry, None)
        # Of a copy there are as many names as this layer has links to it.
        return self._of_entry(replace(found, is_opaque=entry.is_opaque))

    def _of_entry(self, entry: IndexEntry) -> Expected:
        kind, policy = entry.kind, self._policy
        seconds = entry.mtime_ns // _NS
        is_file = kind is Kind.FILE
        known = Expected(
            entry,
            kind,
            size_bytes=entry.size_bytes if is_file else None,
            mtime_s=seconds if is_file and seconds in _SECONDS else None,
        )
        if policy is None:
            return known
        mode = None if kind is Kind.SYMLINK else entry.mode
        strips = policy.setuid is SetuidPolicy.STRIP and kind is not Kind.DIRECTORY
        if mode is not None and strips:
            mode &= ~SET_ID
        return replace(
            known,
            mode=mode,
            owner=(entry.uid, entry.gid) if policy.keep_owners else None,
            xattrs=self._filter.stored(entry.xattrs),
        )
