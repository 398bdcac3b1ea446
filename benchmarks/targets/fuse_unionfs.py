"""unionfs-fuse: a union of branches with copy-on-write, in C."""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.benchmarks.protocols import Fairness
from snapfs.benchmarks.targets import peer_programs
from snapfs.benchmarks.targets.fuse_tree import FuseTree
from snapfs.benchmarks.targets.overlay_tree import Place


class UnionfsFuse(FuseTree):
    """``unionfs`` with ``cow``; what it removes is hidden by files in the upper."""

    name = "unionfs-fuse"
    summary = "unionfs-fuse as installed, cow"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        found = peer_programs.version(
            self.program(), "--version", after="unionfs-fuse version: "
        )
        return Fairness(
            durability="nothing is synced",
            cache="the kernel's, for 1 second",
            threads="as many as libfuse starts",
            privileges="root",
            version=found,
            notes="not overlayfs's format",
        )

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.installed("unionfs")

    def command(self, place: Place) -> Sequence[str]:
        """See :meth:`FuseTree.command`."""
        branches = [f"{place.upperdir}=RW", *(f"{path}=RO" for path in place.lowerdirs)]
        return (
            *(self.program(), "-f", "-o"),
            "cow,hide_meta_files,allow_other,default_permissions,use_ino,suid,dev",
            *(":".join(branches), str(place.merged)),
        )
