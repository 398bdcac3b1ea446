"""Stores in a temporary directory, with a driver that mounts nothing.

``opened_store`` does what ``snapfs.assembly`` does, without probing the host: the
tests of the store need neither root nor overlayfs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from snapfs.driver import Driver
from snapfs.errors import ResourceExhaustedError
from snapfs.manager import ManagerParts, SnapshotManager
from snapfs.manager.recovery import recover
from snapfs.metadata import MetadataStore
from snapfs.model import Durability, Mount, Stack
from snapfs.state import (
    RootLock,
    SnapshotDirectories,
    SpaceLimiter,
    StatePaths,
    StoreIdentity,
    open_identity,
)
from snapfs.state.identity import write_identity
from snapfs.state.loop_images import LoopImages
from snapfs.state.reserve import DirectoryReserve


@dataclasses.dataclass(frozen=True, slots=True)
class FakeDriver:
    """Writes a stack down as one mount of the type "fake"."""

    max_layers: int = 1000
    stores_host_owners: bool = True

    @property
    def name(self) -> str:
        return "fake"

    def mounts(self, stack: Stack) -> list[Mount]:
        if len(stack.lowerdirs) > self.max_layers:
            raise ResourceExhaustedError(f"{len(stack.lowerdirs)} layers are too many")
        options = [f"lowerdir={':'.join(stack.lowerdirs)}"]
        if stack.upperdir:
            options.append(f"upperdir={stack.upperdir}")
        if stack.workdir:
            options.append(f"workdir={stack.workdir}")
        return [Mount("fake", "fake", options=tuple(options))]

    def local_mounts(self, stack: Stack) -> list[Mount]:
        return self.mounts(stack)


@contextlib.contextmanager
def opened_store(
    root: Path,
    *,
    durability: Durability = Durability.NONE,
    drivers: Mapping[str, Driver] | None = None,
    limiter: SpaceLimiter | None = None,
    images: LoopImages | None = None,
    reserve_size: int = 0,
    min_free_percent: int = 0,
) -> Iterator[SnapshotManager]:
    """Open the store in ``root`` as its owner; make one if there is none."""
    root.mkdir(mode=0o700, exist_ok=True)
    paths = StatePaths(str(root))
    known = {"fake": FakeDriver()} if drivers is None else drivers
    with contextlib.ExitStack() as owned:
        lock = RootLock.try_acquire(paths.lock)
        assert isinstance(lock, RootLock), f"owned by {lock}"
        owned.callback(lock.release)
        identity, is_new = open_identity(paths, "user.")
        metadata = _opened_metadata(paths, identity, is_new=is_new)
        with contextlib.ExitStack() as failing:
            failing.callback(metadata.close)
            reserve = DirectoryReserve(paths, metadata.allocate_id, reserve_size)
            parts = ManagerParts(
                paths=paths,
                identity=identity,
                metadata=metadata,
                directories=SnapshotDirectories(
                    paths,
                    limiter=limiter,
                    images=images,
                    reserve=reserve if reserve_size else None,
                ),
                drivers=known,
                driver=next(iter(known)),
                durability=durability,
                min_free_percent=min_free_percent,
            )
            recover(parts)
            failing.pop_all()
        manager = SnapshotManager(parts)
        owned.callback(manager.close)
        if reserve_size:
            reserve.start()
            owned.callback(reserve.close)
        else:
            manager.finish_recovery()
        yield manager


def _opened_metadata(
    paths: StatePaths, identity: StoreIdentity, *, is_new: bool
) -> MetadataStore:
    if not is_new:
        return MetadataStore.open(paths.database, identity.store_id)
    SnapshotDirectories(paths).create_parents()
    metadata = MetadataStore.create(paths.database, identity.store_id)
    write_identity(paths, identity)
    return metadata


def fs_of(store: SnapshotManager, key: str) -> Path:
    """Return the content directory of a snapshot's own number."""
    return Path(store.details(key).directory, "fs")


def commit_layer(
    store: SnapshotManager, name: str, parent: str = "", **files: str
) -> None:
    """Commit a snapshot ``name`` that holds ``files``."""
    store.prepare(f"making-{name}", parent)
    fs = fs_of(store, f"making-{name}")
    for file_name, content in files.items():
        (fs / file_name).write_text(content)
    store.commit(name, f"making-{name}")


def disk_image(root: Path) -> dict[str, str]:
    """Return every path below ``root`` with its type and content's digest."""
    image = {}
    for directory, directories, files in os.walk(root):
        for name in directories:
            path = os.path.join(directory, name)
            image[os.path.relpath(path, root)] = "directory"
        for name in files:
            path = os.path.join(directory, name)
            content = Path(path).read_bytes() if os.path.isfile(path) else b""
            image[os.path.relpath(path, root)] = hashlib.sha256(content).hexdigest()
    return image
