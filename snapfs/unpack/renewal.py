"""Damaged names of a committed layer, made anew from its blob.

The whole layer is unpacked afresh beside the store's snapshots, verified like any
other, and the names that are damaged change places with the fresh ones. All else
stays as it is, so that containers which run on the layer keep what they have open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from snapfs.image.layer_blobs import open_layer
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.places import opened_below, unlocked
from snapfs.model import SnapshotDetails
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import Store
from snapfs.syscalls import syncfs
from snapfs.unpack.chain import Chain
from snapfs.unpack.messages import LayerJob
from snapfs.unpack.processes import LayerProcess
from snapfs.unpack.staging import StagedLayers
from snapfs.unpack.starting import LayerProcesses

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def renew_paths(
    store: Store,
    source: ImageSource,
    layer: ImageLayer,
    details: SnapshotDetails,
    policy: Policy,
    paths: Sequence[bytes],
) -> None:
    """Make ``paths`` of a committed layer what ``layer`` of ``source`` says.

    What the layer has nothing of is taken away. Afterwards everything is on disk. The
    snapshot's directory index goes; the FUSE driver does without.

    Raises:
        SnapfsError: The blob is not there or is damaged, or the disk is full; some
            paths may have been renewed.
        OSError: As the filesystem says.
    """
    prefix = XattrPrefix(store.status().xattr_prefix)
    with StagedLayers(store, 1) as staged:
        fresh = staged[0].make_fs()
        try:
            _fill(fresh, source, layer, details, policy, prefix)
            _exchange(details.content, fresh, paths)
        finally:
            os.close(fresh)


def _fill(
    fresh: int,
    source: ImageSource,
    layer: ImageLayer,
    details: SnapshotDetails,
    policy: Policy,
    prefix: XattrPrefix,
) -> None:
    """Unpack the layer into the empty directory ``fresh``."""
    job = LayerJob(
        label=f"layer {layer.descriptor.digest}",
        size_bytes=layer.descriptor.size_bytes,
        digest=str(layer.descriptor.digest),
        diff_id=str(layer.diff_id),
        is_lowest=not details.info.parent,
        xattr_prefix=prefix,
        cache="",
        memory_bytes=0,
        limits=Limits(),
        policy=policy,
    )
    with (
        LayerProcesses() as processes,
        contextlib.closing(open_layer(source, layer.descriptor)) as blob,
    ):
        process = LayerProcess(processes)
        try:
            applied = process.run(job, blob, fresh, lambda _progress: None)
        finally:
            process.finish()
    with Chain(OverlayForm(prefix), keep_owners=policy.keep_owners) as chain:
        for lower in reversed(details.lowerdirs):
            chain.add(lower)
        chain.settle(fresh, applied.needs)


def _exchange(content: str, fresh: int, paths: Iterable[bytes]) -> None:
    """Put the fresh names in the places of the damaged ones."""
    old = os.open(content, _OPEN)
    try:
        # First: a stale one says what is no more, none at all costs only time.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(os.path.dirname(content), "dirindex"))
        done: set[bytes] = set()
        for path in sorted(set(paths)):
            is_done = any(above in done for above in _above(path))
            if not is_done and _exchange_one(old, fresh, path):
                done.add(path)
        syncfs(old)
    finally:
        os.close(old)


def _above(path: bytes) -> Iterator[bytes]:
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _exchange_one(old: int, fresh: int, path: bytes) -> bool:
    """Put one name in its place; whether all below it came with it."""
    parent, _, name = path.rpartition(b"/")
    with opened_below(old, parent) as there, opened_below(fresh, parent) as here:
        ours, theirs = _status(name or b".", here), _status(name or b".", there)
        both_are_directories = (
            ours is not None
            and theirs is not None
            and stat.S_ISDIR(ours.st_mode)
            and stat.S_ISDIR(theirs.st_mode)
        )
        if both_are_directories:
            with opened_below(fresh, path) as model, opened_below(old, path) as made:
                _copy_attributes(model, made)
            return False
        with unlocked(there), unlocked(here):
            if theirs is not None and not _can_replace(ours, theirs):
                # Into the staging directory, which is removed with all it holds.
                os.rename(name, _unused(here), src_dir_fd=there, dst_dir_fd=here)
            if ours is not None:
                os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
        fresh_times = os.fstat(here)
        os.utime(there, ns=(fresh_times.st_atime_ns, fresh_times.st_mtime_ns))
        return True


def _can_replace(ours: os.stat_result | None, theirs: os.stat_result) -> bool:
    """Whether rename(2) would put the one in the place of the other."""
    return (
        ours is not None
        and not stat.S_ISDIR(ours.st_mode)
        and not stat.S_ISDIR(theirs.st_mode)
    )


def _status(name: bytes, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _unused(directory: int) -> bytes:
    """Return a name that nothing in an open directory has."""
    number = 0
    while _status(name := b".damaged-%d" % number, directory) is not None:
        number += 1
    return name


def _copy_attributes(model: int, made: int) -> None:
    """Give a directory owner, extended attributes, mode and time of another."""
    status = os.fstat(model)
    os.fchown(made, status.st_uid, status.st_gid)
    wanted = {name: os.getxattr(model, name) for name in os.listxattr(model)}
    for name in os.listxattr(made):
        if name not in wanted:
            _remove_xattr(made, name)
    for name, value in wanted.items():
        os.setxattr(made, name, value)
    os.fchmod(made, stat.S_IMODE(status.st_mode))
    os.utime(made, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove_xattr(made: int, name: str) -> None:
    try:
        os.removexattr(made, name)
    except OSError as error:
        # EPERM, EACCES: a label of the kernel's own (security.selinux) stays.
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENODATA):
            raise
