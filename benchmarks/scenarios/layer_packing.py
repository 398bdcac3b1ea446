"""How long it takes to write a whole tree of files as one gzip layer."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks import programs
from snapfs.benchmarks.images import make_image
from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    PackTarget,
    Profile,
    Target,
    Trial,
    Workspace,
)

_MIB: Final = 1 << 20
_USUAL: Final = "level 6"
_FASTEST: Final = "fastest"

# Files of the tree, mebibytes.
_ASKED: Final = {
    Profile.QUICK: ((2_000, 32),),
    Profile.STANDARD: ((2_000, 32),),
    Profile.FULL: ((20_000, 320), (60_000, 968)),
}
_BYTES_A_SECOND: Final = 40 * _MIB


class LayerPacking:
    """A whole command, from files in the page cache to a compressed layer.

    Compressing takes most of it, so that it is asked for twice: at the level that most
    tools have by default, and as fast as each of them can.
    """

    name = "layer_packing"
    question = "How long does it take to write a tree of files as a layer?"
    family = Family.UNPACKER
    operation = "layer"
    baselines: Sequence[str] = ("tar-xzf", "tar-pigz", "snapfs-unpack")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"files": files, "size_mib": size, "compression": speed},
                runs=1,
                warmups=0,
                expected_s=size * _MIB / _BYTES_A_SECOND,
            )
            for files, size in _ASKED[profile]
            for speed in (_USUAL, _FASTEST)
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, PackTarget) else "it writes no layers of trees"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, PackTarget)
        return _Trial(target, cell, workspace)


class _Trial(Trial):
    def __init__(self, target: PackTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        self._is_fast = cell.parameters["compression"] == _FASTEST
        files, size = (int(cell.parameters[name]) for name in ("files", "size_mib"))
        image = make_image(files, size * _MIB, 1, seed=1)
        self._tree = workspace.directory / "tree"
        self._layer = workspace.directory / "layer.tar.gz"
        self._tree.mkdir()
        programs.run("tar", "-xf", str(image.layers[0]), "-C", str(self._tree))
        self._expected = dict(_sizes(self._tree))
        target.stage(self._tree)

    def run_once(self) -> Outcome:
        counts = self._target.pack(self._layer, is_fast=self._is_fast)
        return Outcome(1, bytes=sum(self._expected.values()), counts=counts)

    def validate(self, outcome: Outcome) -> None:
        """Read the layer with another reader: exactly the tree's files are in it."""
        with tarfile.open(self._layer) as tar:
            found = {
                member.name.removeprefix("./"): member.size
                for member in tar
                if member.isfile()
            }
        if found != self._expected:
            wrong = sorted(dict(found.items() ^ self._expected.items()))
            raise InvalidResultError(
                f"the layer has {len(found)} of {len(self._expected)} files, and"
                f" differs in {wrong[0]}"
            )

    def tear_down(self) -> None:
        self._layer.unlink(missing_ok=True)

    def close(self) -> None:
        self._target.unstage()
        shutil.rmtree(self._tree)


def _sizes(tree: Path) -> list[tuple[str, int]]:
    """Return path and size of all regular files."""
    found = []
    for directory, _, names in os.walk(tree):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                found.append((str(path.relative_to(tree)), path.stat().st_size))
    return found
