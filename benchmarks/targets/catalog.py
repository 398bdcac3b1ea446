"""The list of targets. Each call of an entry makes a new instance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import Target
from snapfs.benchmarks.scenarios.private_containerd import find_built, find_installed
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.containerd_unpack import ContainerdUnpack
from snapfs.benchmarks.targets.overlay_tree import (
    KernelOverlayfs,
    KernelOverlayfsLayers,
    SnapfsOverlayfs,
)
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from snapfs.benchmarks.targets.unpackers import SnapfsUnpack, TarCommand, UmociUnpack
from snapfs.model import Durability

_FACTORIES: Final[tuple[Callable[[], Target], ...]] = (
    PlainDirectory,
    KernelOverlayfs,
    KernelOverlayfsLayers,
    SnapfsOverlayfs,
    ContainerdOverlayfs,
    SnapfsService,
    functools.partial(SnapfsService, Durability.LAYER),
    functools.partial(ContainerdUnpack, "containerd-1-unpack", find_installed),
    functools.partial(ContainerdUnpack, "containerd-2-unpack", find_built),
    TarCommand,
    UmociUnpack,
    SnapfsUnpack,
)

TARGETS: Final[Mapping[str, Callable[[], Target]]] = MappingProxyType(
    {factory().name: factory for factory in _FACTORIES}
)
