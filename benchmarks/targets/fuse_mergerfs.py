"""mergerfs: a union of branches that writes to where a file lies; no copy-on-write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.benchmarks.protocols import Fairness
from snapfs.benchmarks.targets import peer_programs
from snapfs.benchmarks.targets.fuse_tree import FuseTree
from snapfs.benchmarks.targets.overlay_tree import Place

# A small image has less free space than the default wants to keep.
_COMMON: Final = (
    "category.create=ff,cache.files=auto-full,minfreespace=0,allow_other,use_ino"
)


class Mergerfs(FuseTree):
    """The layers as read-only branches; their files are written to nevertheless."""

    name = "mergerfs"
    summary = "mergerfs as installed, layers as RO branches; no copy-on-write"
    options = _COMMON

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability="nothing is synced",
            cache="the kernel's, for 1 second",
            threads="one a CPU, at most 8",
            privileges="root",
            version=peer_programs.version(
                self.program(), "--version", after="mergerfs version: "
            ),
            notes="not overlayfs's format",
        )

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return peer_programs.installed("mergerfs")

    def branches(self, place: Place) -> str:
        """Return the branches, the one to write to first."""
        lowers = (f"{path}=RO" for path in place.lowerdirs)
        return ":".join((f"{place.upperdir}=RW", *lowers))

    def command(self, place: Place) -> Sequence[str]:
        """See :meth:`FuseTree.command`."""
        words = ("-f", "-o", self.options, self.branches(place), str(place.merged))
        return (self.program(), *words)


class MergerfsLinkCow(Mergerfs):
    """Hard links to the layers' files, which mergerfs breaks before they are opened.

    The links are made once, when a tree is presented: mounting anew keeps them.
    """

    name = "mergerfs-link-cow"
    summary = "mergerfs with link_cow over hard links of the layers' files"
    options = f"{_COMMON},link_cow=true"

    def make_place(self, lowerdirs: Sequence[Path], name: str) -> Place:
        """See :meth:`OverlayTree.make_place`; the links are made, too."""
        place = super().make_place(lowerdirs, name)
        for lowerdir in reversed(lowerdirs):
            words = ("cp", "-al", "--remove-destination", f"{lowerdir}/.")
            programs.run(*words, str(place.upperdir))
        return place

    def branches(self, place: Place) -> str:
        """See :meth:`Mergerfs.branches`."""
        return f"{place.upperdir}=RW"
