"""The same layers mounted by the kernel, by our engine, and by fuse-overlayfs."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from snapfs import syscalls
from support.fuse_mounts import mounted_union, union_options
from support.sandbox import wait_until

_END_TIMEOUT_S: Final = 120


class UnionKind(enum.StrEnum):
    """Who makes the union."""

    KERNEL = "kernel-overlayfs"
    SNAPFS_FAST = "snapfs-fuse-fast"
    SNAPFS_IO = "snapfs-fuse-io"
    FUSE_OVERLAYFS = "fuse-overlayfs"

    def obstacle(self) -> str:
        """Say what is missing here; "" if nothing."""
        if self is UnionKind.FUSE_OVERLAYFS and not shutil.which("fuse-overlayfs"):
            return "needs fuse-overlayfs"
        if self is UnionKind.SNAPFS_IO:
            return _why_no_io()
        return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Layers:
    """The directories of one union, below one directory that everybody may pass."""

    lower: Path
    upper: Path
    work: Path
    merged: Path

    @classmethod
    def make(cls, home: Path) -> Layers:
        """Make empty ones below ``home``."""
        found = cls(*(home / name for name in ("lower", "upper", "work", "merged")))
        for directory in (found.lower, found.upper, found.work, found.merged):
            directory.mkdir(parents=True)
        return found


@functools.cache
def _why_no_io() -> str:
    """Say why the engine does not mount with passthrough here; "" if it does."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            with mounted(UnionKind.SNAPFS_IO, Layers.make(Path(directory) / "layers")):
                return ""
        except RuntimeError as error:
            if "mode=io" not in str(error):
                raise
            return f"needs mode=io: {error}"


@contextlib.contextmanager
def mounted(kind: UnionKind, layers: Layers) -> Iterator[Path]:
    """Show ``layers`` as one tree; afterwards nothing is mounted or running."""
    if kind is UnionKind.KERNEL:
        context = _by_the_kernel(layers)
    elif kind is UnionKind.FUSE_OVERLAYFS:
        context = _by_fuse_overlayfs(layers)
    else:
        context = _by_snapfs(layers, kind.rpartition("-")[2])
    with context as merged:
        yield merged


@contextlib.contextmanager
def _by_snapfs(layers: Layers, mode: str) -> Iterator[Path]:
    directories = ([layers.lower], layers.upper, layers.work, layers.merged)
    with mounted_union(*directories, [f"mode={mode}", "dev", "suid"]) as union:
        yield union.mountpoint


@contextlib.contextmanager
def _by_the_kernel(layers: Layers) -> Iterator[Path]:
    options = union_options([layers.lower], layers.upper, layers.work)
    syscalls.mount("overlay", layers.merged, "overlay", 0, os.fsencode(options))
    try:
        yield layers.merged
    finally:
        syscalls.umount2(layers.merged, syscalls.MNT_DETACH)


@contextlib.contextmanager
def _by_fuse_overlayfs(layers: Layers) -> Iterator[Path]:
    options = union_options([layers.lower], layers.upper, layers.work, ["dev", "suid"])
    device = layers.merged.stat().st_dev
    with subprocess.Popen(
        ["fuse-overlayfs", "-f", "-o", options, str(layers.merged)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(
                lambda: layers.merged.stat().st_dev != device, "fuse-overlayfs mounts"
            )
            yield layers.merged
        finally:
            while os.path.ismount(layers.merged):
                syscalls.umount2(layers.merged, syscalls.MNT_DETACH)
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
