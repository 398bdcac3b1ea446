"""How long it takes to know what an image holds, without unpacking it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.images import TAG, make_image
from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    InvalidResultError,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.targets.unpackers import SnapfsUnpack
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.unpack.indexes import layer_index

_MIB: Final = 1 << 20
_FIRST: Final = "first"
_CACHED: Final = "cached"

# Files, mebibytes.
_ASKED: Final = {
    Profile.QUICK: (2_000, 32),
    Profile.STANDARD: (10_000, 100),
    Profile.FULL: (100_000, 1024),
}
_BYTES_A_SECOND: Final = 300 * _MIB
_RUNS: Final = {_FIRST: 1, _CACHED: 10}


class LayerIndexTime:
    """From the layout to the index of its one gzip layer, in this process.

    ``first``: the layer is read, verified and parsed, and the index kept. ``cached``:
    the index is there already.
    """

    name = "layer_index"
    question = "How long does it take to know what an image holds?"
    family = Family.UNPACKER
    operation = "index"
    baselines: Sequence[str] = ("snapfs-unpack",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        files, size = _ASKED[profile]
        return [
            Cell(
                {"look": look, "files": files, "size_mib": size},
                runs=runs,
                warmups=0 if look == _FIRST else 1,
                expected_s=size * _MIB / _BYTES_A_SECOND if look == _FIRST else 0.01,
            )
            for look, runs in _RUNS.items()
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, SnapfsUnpack) else "it keeps no indexes"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del target, seed  # the image is kept between runs: it has its own seed
        return _Trial(cell, workspace)


class _Trial(Trial):
    def __init__(self, cell: Cell, workspace: Workspace) -> None:
        self._files = int(cell.parameters["files"])
        size = int(cell.parameters["size_mib"]) * _MIB
        self._image = make_image(self._files, size, layers=1, seed=1)
        self._directory = workspace.directory / "index"
        self._is_first = cell.parameters["look"] == _FIRST

    def set_up(self) -> None:
        if self._is_first:
            shutil.rmtree(self._directory, ignore_errors=True)
        elif not self._directory.exists():
            self._look()

    def run_once(self) -> Outcome:
        names = self._look()
        # A look at the cache reads nothing of the layer.
        read = self._image.plain_bytes if self._is_first else 0
        return Outcome(1, bytes=read, counts={"names": names})

    def validate(self, outcome: Outcome) -> None:
        names = outcome.counts["names"]
        if names < self._files:
            raise InvalidResultError(f"{names} names of {self._files} files")
        if not list(self._directory.rglob("sha256/*")):
            raise InvalidResultError("no index was kept")

    def tear_down(self) -> None:
        """Keep the index for the next look; a first look removes it itself."""

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def _look(self) -> int:
        cache = IndexCache(str(self._directory))
        with open_layout("image", str(self._image.layout), TAG) as source:
            (layer,) = open_image(source).layers
            return len(layer_index(source, layer, cache, Limits()))
