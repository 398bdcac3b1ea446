"""How programs write a whole tree of files as one gzip layer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.protocols import NO_COUNTS
from snapfs.benchmarks.targets.layer_diffs import (
    ContainerdLayers,
    SnapfsLayers,
    engine_counts,
)
from snapfs.benchmarks.targets.unpackers import TarCommand
from snapfs.compression import Compression
from snapfs.compression.choosing import make_compressor

_NEW: Final = "new"
_USUAL: Final = "-6"
_FASTEST: Final = "-1"
_GZIP_MAGIC: Final = b"\x1f\x8b"


class TarPacks(TarCommand):
    """``tar | gzip``: neither digests nor an order of its own."""

    compressor = "gzip"
    _tree: Path

    def stage(self, tree: Path) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.stage`."""
        self._tree = tree

    def pack(self, layer: Path, *, is_fast: bool) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.pack`."""
        level = _FASTEST if is_fast else _USUAL
        with layer.open("wb") as out:
            words = ("tar", "-C", str(self._tree), "-cf", "-", ".")
            with subprocess.Popen(words, stdout=subprocess.PIPE) as tar:  # noqa: S603  # fixed programs, no shell
                subprocess.run(  # noqa: S603  # fixed programs, no shell
                    (self.compressor, level), stdin=tar.stdout, stdout=out, check=True
                )
            if tar.returncode:
                raise subprocess.CalledProcessError(tar.returncode, words)
        return NO_COUNTS

    def unstage(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.unstage`."""
        return


class PigzPacks(TarPacks):
    """tar with pigz, which compresses on all cores and inflates with a reader ahead."""

    name = "tar-pigz"
    summary = "GNU tar with pigz in place of gzip; checks nothing"
    program = "pigz"
    compressor = "pigz"
    threads = "tar; pigz, a thread a core"

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return programs.run("pigz", "--version").split()[-1]

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        self.place.mkdir()
        for layer in image.layers:
            with layer.open("rb") as stored:
                is_gzip = stored.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            chosen = ("--use-compress-program=pigz",) if is_gzip else ()
            programs.run("tar", *chosen, "-xf", str(layer), "-C", str(self.place))
        return NO_COUNTS


class SnapfsPacks(SnapfsLayers):
    """``snapfs diff -o``: sorted, both digests in the same pass, a synced file."""

    notes = "; ".join(
        f"gzip{words} by {make_compressor(Compression.GZIP, fast=is_fast).description}"
        for words, is_fast in (("", False), (" --fast", True))
    )
    _tree: Path

    def stage(self, tree: Path) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.stage`."""
        self._tree = tree
        (self.home / "empty").mkdir()

    def pack(self, layer: Path, *, is_fast: bool) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.pack`."""
        sides = (f"dir:{self._tree}", f"dir:{self.home / 'empty'}")
        how = ("--fast",) if is_fast else ()
        shown = self._snapfs("diff", *sides, "-o", str(layer), *how)
        return engine_counts(json.loads(shown))

    def unstage(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.unstage`."""
        (self.home / "empty").rmdir()


class ContainerdPacks(ContainerdLayers):
    """``ctr snapshots diff`` of a snapshot without parent; it has one speed."""

    def stage(self, tree: Path) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.stage`."""
        self._snapshots("prepare", _NEW)
        with self.mounted(_NEW) as root:
            programs.run("cp", "-a", f"{tree}/.", str(root))

    def pack(self, layer: Path, *, is_fast: bool) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.pack`."""
        del is_fast
        words = ("--snapshotter", self.snapshotter, "diff", _NEW)
        self.containerd.ctr_to(layer, "snapshots", *words)
        return NO_COUNTS

    def unstage(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.PackTarget.unstage`."""
        self._snapshots("rm", _NEW)
