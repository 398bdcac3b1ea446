"""A snapshot store without a disk: a fake that keeps the whole contract.

Mounts name directories that do not exist, and every usage is a made-up constant; all
else is as :class:`snapfs.snapshotter.Store` says. The rules are written a second time
here, on purpose: a test that runs against both finds where they differ. Only the
grammar of filters and of identity mappings is the real one.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from snapfs.metadata.filters import parse_filters
from snapfs.model import (
    NO_LABELS,
    Durability,
    Finding,
    Garbage,
    Info,
    Kind,
    Mount,
    NewLayer,
    Owner,
    SnapshotDetails,
    StoreStatus,
    Usage,
)
from snapfs.overlay_format import mapped_root
from support.memory_mounts import read_only_mounts, writable_mounts

ROOT: Final = "/memory"
OWN_USAGE: Final = Usage(size_bytes=8192, inodes=2)
MAX_LABEL_BYTES: Final = 4096
MAX_STAGED: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    info: Info
    snapshot_id: int
    owner: Owner
    layer_id: int = 0  # of whose content it has, where that is shared
    root_opaque: bool = False

    @property
    def directory(self) -> str:
        return f"{ROOT}/snapshots/{self.snapshot_id}"

    @property
    def fs(self) -> str:
        return f"{ROOT}/snapshots/{self.layer_id or self.snapshot_id}/fs"


class MemoryStore:
    """Implements :class:`snapfs.snapshotter.Store`; one lock guards everything."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._last_id = 0
        self._trash: list[Garbage] = []

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        return self.create(Kind.ACTIVE, key, parent, labels, Owner.LOCAL)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        return self.create(Kind.VIEW, key, parent, labels, Owner.LOCAL)

    def create(
        self,
        kind: Kind,
        key: str,
        parent: str,
        labels: Mapping[str, str],
        owner: Owner,
    ) -> list[Mount]:
        """Make an active snapshot or a view that belongs to ``owner``."""
        with self._lock:
            self._add(kind, key, parent, labels, owner)
            return self.mounts(key)

    def _add(
        self,
        kind: Kind,
        key: str,
        parent: str,
        labels: Mapping[str, str],
        owner: Owner,
    ) -> None:
        with self._lock:
            if not key:
                raise InvalidArgumentError("a snapshot needs a key")
            if parent and self.get(parent).info.kind is not Kind.COMMITTED:
                raise InvalidArgumentError(f"parent {parent!r} is not committed")
            if key in self._entries:
                raise AlreadyExistsError(f"snapshot {key!r} already exists")
            kept = _checked(labels)
            mapped_root(kept)
            self._last_id += 1
            now_ns = time.time_ns()
            info = Info(key, parent, kind, now_ns, now_ns, kept)
            self._entries[key] = _Entry(info, self._last_id, owner)

    def mounts(self, key: str) -> list[Mount]:
        with self._lock:
            entry = self.get(key)
            if entry.info.kind is Kind.COMMITTED:
                raise FailedPreconditionError(
                    f"snapshot {key!r} is committed, not active or view"
                )
            below = self._lowerdirs(entry)
            if entry.info.kind is Kind.VIEW:
                return read_only_mounts(below or (entry.fs,))
            if not below:
                return [Mount("bind", entry.fs, options=("rw", "rbind"))]
            return writable_mounts(below, entry.fs, f"{entry.directory}/work")

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        with self._lock:
            if not name:
                raise InvalidArgumentError("a committed snapshot needs a name")
            if name in self._entries:
                raise AlreadyExistsError(f"snapshot {name!r} already exists")
            entry = self.get(key)
            if entry.info.kind is not Kind.ACTIVE:
                raise FailedPreconditionError(f"snapshot {key!r} is not active")
            base = self._base_for(entry, parent)
            now_ns = time.time_ns()
            info = Info(name, base, Kind.COMMITTED, now_ns, now_ns, _checked(labels))
            del self._entries[key]
            self._entries[name] = dataclasses.replace(entry, info=info)

    def remove(self, key: str) -> None:
        with self._lock:
            if self.get(key).owner is Owner.CONTAINERD:
                raise FailedPreconditionError(
                    f"cannot remove snapshot {key!r}: it is containerd's"
                )
            self.force_remove(key)

    def stat(self, key: str) -> Info:
        return self.get(key).info

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        with self._lock:
            entry = self.get(info.name)
            labels = dict(entry.info.labels)
            for path in fieldpaths or ("labels",):
                if path == "labels":
                    labels = dict(info.labels)
                elif path.startswith("labels."):
                    label = path.removeprefix("labels.")
                    labels[label] = info.labels.get(label, "")
                else:
                    raise InvalidArgumentError(
                        f"cannot update {path!r} field on snapshot {info.name!r}"
                    )
            updated = dataclasses.replace(
                entry.info,
                labels=_checked(labels),
                updated_ns=max(time.time_ns(), entry.info.updated_ns),
            )
            self._entries[info.name] = dataclasses.replace(entry, info=updated)
            return updated

    def usage(self, key: str) -> Usage:
        return Usage() if self.get(key).info.kind is Kind.VIEW else OWN_USAGE

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        return iter([entry.info for entry in self.matching(filters)])

    def cleanup(self) -> None:
        self.reclaim()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def details(self, key: str) -> SnapshotDetails:
        with self._lock:
            return self._details(self.get(key))

    def list_details(self, filters: Sequence[str] = ()) -> Iterator[SnapshotDetails]:
        with self._lock:
            return iter([self._details(entry) for entry in self.matching(filters)])

    def browse_mounts(
        self, key: str, *, upperdir: str = "", workdir: str = ""
    ) -> list[Mount]:
        with self._lock:
            entry = self.get(key)
            if bool(upperdir) != bool(workdir):
                raise InvalidArgumentError("upperdir and workdir go together")
            below = self._lowerdirs(entry)
            if entry.info.kind is not Kind.VIEW or not below:
                below = (entry.fs, *below)
            if upperdir:
                return writable_mounts(below, upperdir, workdir)
            return read_only_mounts(below)

    def force_remove(self, key: str) -> None:
        with self._lock:
            entry = self.get(key)
            if any(other.info.parent == key for other in self._entries.values()):
                raise FailedPreconditionError(
                    f"cannot remove snapshot {key!r}: it has children"
                )
            del self._entries[key]
            self._trash.append(
                Garbage(entry.directory, "its snapshot was removed", OWN_USAGE)
            )

    def reclaim(self, *, dry_run: bool = False) -> list[Garbage]:
        with self._lock:
            found = list(self._trash)
            if not dry_run:
                self._trash.clear()
            return found

    def check(self) -> list[Finding]:
        return []

    def status(self) -> StoreStatus:
        with self._lock:
            return StoreStatus(
                root=ROOT,
                store_id="00000000-0000-4000-8000-000000000000",
                format_version=1,
                xattr_prefix="trusted.",
                driver="memory",
                durability=Durability.NONE,
                pid=os.getpid(),
                snapshots=len(self._entries),
                trash_entries=len(self._trash),
            )

    def stage(self, count: int) -> list[int]:
        with self._lock:
            if not 0 <= count <= MAX_STAGED:
                raise InvalidArgumentError(f"cannot stage {count} layers")
            first, self._last_id = self._last_id + 1, self._last_id + count
            return list(range(first, self._last_id + 1))

    def publish(
        self, layers: Sequence[NewLayer], durability: Durability | None = None
    ) -> None:
        with self._lock:
            entries = dict(self._entries)
            try:
                for layer in layers:
                    self._publish(layer)
            except BaseException:
                self._entries = entries
                raise

    def _publish(self, layer: NewLayer) -> None:
        shared = self.get(layer.shares) if layer.shares else None
        self._add(Kind.COMMITTED, layer.name, layer.parent, layer.labels, Owner.LOCAL)
        self._entries[layer.name] = dataclasses.replace(
            self._entries[layer.name],
            snapshot_id=layer.snapshot_id,
            layer_id=(shared.layer_id or shared.snapshot_id) if shared else 0,
            root_opaque=layer.root_opaque,
        )

    def get(self, key: str) -> _Entry:
        """Return the entry of ``key`` or raise ``NotFoundError``."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                raise NotFoundError(f"snapshot {key!r} does not exist")
            return entry

    def matching(self, filters: Sequence[str]) -> list[_Entry]:
        """Return the entries that match, as they are now."""
        matches = parse_filters(filters)
        with self._lock:
            return [entry for entry in self._entries.values() if matches(entry.info)]

    def _base_for(self, entry: _Entry, parent: str) -> str:
        """Return the parent of the snapshot that ``entry`` becomes."""
        has = entry.info.parent
        if parent and has and parent != has:
            raise InvalidArgumentError(
                f"snapshot {entry.info.name!r} has the parent {has!r} already"
            )
        if parent and self.get(parent).info.kind is not Kind.COMMITTED:
            raise FailedPreconditionError(f"parent {parent!r} is not committed")
        return has or parent

    def _lowerdirs(self, entry: _Entry) -> tuple[str, ...]:
        found: list[str] = []
        while entry.info.parent and not entry.root_opaque:
            entry = self.get(entry.info.parent)
            found.append(entry.fs)
        return tuple(found)

    def _details(self, entry: _Entry) -> SnapshotDetails:
        is_committed = entry.info.kind is Kind.COMMITTED
        return SnapshotDetails(
            info=entry.info,
            owner=entry.owner,
            directory=entry.directory,
            content=entry.fs,
            lowerdirs=self._lowerdirs(entry),
            driver="memory",
            durability=Durability.NONE,
            usage=OWN_USAGE if is_committed else None,
        )


def _checked(labels: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in labels.items():
        if not key:
            raise InvalidArgumentError("a label has an empty key")
        if len(key.encode()) + len(value.encode()) > MAX_LABEL_BYTES:
            raise InvalidArgumentError(f"label {key[:64]!r} is too long")
    return MappingProxyType({key: value for key, value in labels.items() if value})
