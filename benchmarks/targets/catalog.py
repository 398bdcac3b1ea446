"""The list of targets. Each call of an entry makes a new instance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import Target
from snapfs.benchmarks.scenarios.containerd_installation import (
    find_built,
    find_installed,
)
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.containerd_snapfs import ContainerdSnapfs
from snapfs.benchmarks.targets.copied_trees import (
    BtrfsSnapshot,
    FullCopy,
    HardLinkFarm,
    ReflinkCopy,
)
from snapfs.benchmarks.targets.fuse_mergerfs import Mergerfs, MergerfsLinkCow
from snapfs.benchmarks.targets.fuse_mfusepy import MfusepyLoopback
from snapfs.benchmarks.targets.fuse_overlayfs import (
    FuseOverlayfs,
    FuseOverlayfs2,
    FuseOverlayfsBuild,
    FuseOverlayfsThreaded,
)
from snapfs.benchmarks.targets.fuse_snapfs import SnapfsFuse
from snapfs.benchmarks.targets.fuse_unionfs import UnionfsFuse
from snapfs.benchmarks.targets.layer_diffs import UmociLayers
from snapfs.benchmarks.targets.layer_packs import (
    ContainerdPacks,
    PigzPacks,
    SnapfsPacks,
    TarPacks,
)
from snapfs.benchmarks.targets.overlay_tree import (
    KernelOverlayfs,
    KernelOverlayfsLayers,
    KernelOverlayfsMetacopy,
    KernelOverlayfsVolatile,
    SnapfsOverlayfs,
)
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from snapfs.benchmarks.targets.unpackers import PodmanPull, SnapfsUnpack
from snapfs.benchmarks.targets.written_bytes import WrittenBytes
from snapfs.model import Durability

_FACTORIES: Final[tuple[Callable[[], Target], ...]] = (
    PlainDirectory,
    FullCopy,
    HardLinkFarm,
    ReflinkCopy,
    BtrfsSnapshot,
    KernelOverlayfs,
    KernelOverlayfsVolatile,
    KernelOverlayfsMetacopy,
    KernelOverlayfsLayers,
    SnapfsOverlayfs,
    SnapfsFuse,
    functools.partial(SnapfsFuse, "io"),
    functools.partial(SnapfsFuse, is_volatile=True),
    FuseOverlayfs,
    FuseOverlayfsThreaded,
    FuseOverlayfs2,
    UnionfsFuse,
    Mergerfs,
    MergerfsLinkCow,
    MfusepyLoopback,
    ContainerdOverlayfs,
    SnapfsService,
    functools.partial(SnapfsService, Durability.LAYER),
    functools.partial(ContainerdPacks, "containerd-1-unpack", find_installed),
    functools.partial(ContainerdPacks, "containerd-2-unpack", find_built),
    functools.partial(ContainerdSnapfs, "containerd-2-snapfs", find_built),
    TarPacks,
    PigzPacks,
    UmociLayers,
    PodmanPull,
    SnapfsPacks,
    functools.partial(SnapfsUnpack, Durability.IMAGE),
    WrittenBytes,
)

TARGETS: Final[Mapping[str, Callable[[], Target]]] = MappingProxyType(
    {factory().name: factory for factory in _FACTORIES}
)

# A target named ``fuse-overlayfs:/opt/build/fuse-overlayfs`` is the program there.
_BUILDS: Final[Mapping[str, Callable[[str], Target]]] = MappingProxyType(
    {"fuse-overlayfs": FuseOverlayfsBuild}
)


def builds(names: Iterable[str]) -> Mapping[str, Callable[[], Target]]:
    """Return targets for those of ``names`` that have the path of a build in them."""
    found: dict[str, Callable[[], Target]] = {}
    for name in names:
        kind, colon, path = name.partition(":")
        if colon and kind in _BUILDS:
            found[name] = functools.partial(_BUILDS[kind], path)
    return found
