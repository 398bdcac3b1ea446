"""The list of targets. Each call of an entry makes a new instance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import Target
from snapfs.benchmarks.targets.containerd_overlayfs import ContainerdOverlayfs
from snapfs.benchmarks.targets.overlay_tree import (
    KernelOverlayfs,
    KernelOverlayfsLayers,
    SnapfsOverlayfs,
)
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.targets.snapfs_service import SnapfsService
from snapfs.model import Durability

_FACTORIES: Final[tuple[Callable[[], Target], ...]] = (
    PlainDirectory,
    KernelOverlayfs,
    KernelOverlayfsLayers,
    SnapfsOverlayfs,
    ContainerdOverlayfs,
    SnapfsService,
    functools.partial(SnapfsService, Durability.LAYER),
)

TARGETS: Final[Mapping[str, Callable[[], Target]]] = MappingProxyType(
    {factory().name: factory for factory in _FACTORIES}
)
