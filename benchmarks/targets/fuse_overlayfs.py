"""fuse-overlayfs: 1.x in C as distributions have it, and 2.0 in Rust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.protocols import Fairness
from snapfs.benchmarks.targets import peer_programs
from snapfs.benchmarks.targets.fuse_tree import FuseOverlay
from snapfs.benchmarks.targets.overlay_tree import Place

# Version 2 has the same name as version 1: it is looked for in a place of its own.
_SECOND: Final = "fuse-overlayfs-2/bin/fuse-overlayfs"


class FuseOverlayfs(FuseOverlay):
    """The installed fuse-overlayfs; it answers one message after another."""

    name = "fuse-overlayfs"
    summary = "fuse-overlayfs as installed, its defaults"
    threads = "1"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        found = peer_programs.version(
            self.program(), "--version", after="fuse-overlayfs: version "
        )
        return Fairness(
            durability="a copied-up file is not synced",
            cache="the kernel's, for 30 years; nodes in the server",
            threads=self.threads,
            privileges="root",
            version=found,
        )

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.installed("fuse-overlayfs")

    def command(self, place: Place) -> Sequence[str]:
        """See :meth:`FuseTree.command`."""
        options = self.overlay_options(place)
        return (self.program(), "-f", "-o", options, str(place.merged))


class FuseOverlayfsBuild(FuseOverlayfs):
    """A build of fuse-overlayfs that lies somewhere, named by its path."""

    summary = "fuse-overlayfs at that path, its defaults"
    threads = "as that build has it"

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = f"fuse-overlayfs:{path}"
        self._path = path

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        return super().unavailable() and f"there is no program {self._path}"

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.installed(self._path)


class FuseOverlayfsThreaded(FuseOverlayfs):
    """The same with ``threaded=1``."""

    name = "fuse-overlayfs-threaded"
    summary = "fuse-overlayfs as installed, threaded=1"
    threads = "as many as libfuse starts; one lock"
    options = ("threaded=1",)


class FuseOverlayfs2(FuseOverlayfs):
    """fuse-overlayfs 2.0: as many threads as CPUs, passthrough."""

    name = "fuse-overlayfs-2"
    summary = "fuse-overlayfs 2.0 (Rust), its defaults"
    threads = "one a CPU"

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.in_cache(_SECOND)
