"""A loopback through mfusepy: what the usual way to do FUSE in Python costs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import Fairness
from snapfs.benchmarks.targets import peer_programs
from snapfs.benchmarks.targets.fuse_tree import FuseTree
from snapfs.benchmarks.targets.overlay_tree import Place

_PYTHON: Final = "mfusepy/bin/python"
_LOOPBACK: Final = Path(__file__).with_name("mfusepy_loopback.py")


class MfusepyLoopback(FuseTree):
    """Shows a full copy of the layers: no union, only the way through FUSE."""

    name = "mfusepy-loopback"
    summary = "a plain directory through mfusepy, its defaults; no union"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        program = "import importlib.metadata as m; print(m.version('mfusepy'))"
        return Fairness(
            durability="nothing is synced",
            cache="the kernel's, for 1 second",
            threads="as many as libfuse starts, one at a time in Python",
            privileges="root",
            version=peer_programs.version(self.program(), "-I", "-c", program),
            notes="presenting a tree copies all of it: no layers to look through",
        )

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.in_cache(_PYTHON)

    def command(self, place: Place) -> Sequence[str]:
        """See :meth:`FuseTree.command`."""
        # Isolated (-I): our folder named fuse must be out of its sight.
        words = (self.program(), "-I", str(_LOOPBACK))
        return (*words, str(place.upperdir), str(place.merged))

    def make_place(self, lowerdirs: Sequence[Path], name: str) -> Place:
        """See :meth:`OverlayTree.make_place`; the copy is made here, too."""
        place = super().make_place(lowerdirs, name)
        for lowerdir in reversed(lowerdirs):
            shutil.copytree(lowerdir, place.upperdir, symlinks=True, dirs_exist_ok=True)
        return place
