"""How long an image takes from its layout to files on disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.images import GZIP, ZSTD, make_image
from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    Outcome,
    Profile,
    Target,
    Trial,
    UnpackTarget,
    Workspace,
)
from snapfs.benchmarks.semantics.unpacker import check_contents
from snapfs.benchmarks.write_back import write_back

_MIB: Final = 1 << 20

_AS_IT_IS: Final = "its-own"
_SYNCED: Final = "synced"

# Files, mebibytes, layers, how these are compressed, and what is on disk at the end.
# The first of FULL is the size of many a language's base image.
_ASKED: Final = {
    Profile.QUICK: ((2_000, 32, 1, GZIP, _AS_IT_IS),),
    Profile.STANDARD: (
        (2_000, 32, 1, GZIP, _AS_IT_IS),
        (2_000, 32, 1, GZIP, _SYNCED),
        (4_000, 64, 8, GZIP, _AS_IT_IS),
        (4_000, 64, 1, ZSTD, _AS_IT_IS),
    ),
    Profile.FULL: (
        (60_000, 968, 1, GZIP, _AS_IT_IS),
        (60_000, 968, 1, GZIP, _SYNCED),
        (60_000, 968, 8, GZIP, _AS_IT_IS),
        (60_000, 968, 32, GZIP, _AS_IT_IS),
        (60_000, 968, 127, GZIP, _AS_IT_IS),
        (60_000, 968, 1, ZSTD, _AS_IT_IS),
    ),
}
_BYTES_A_SECOND: Final = 100 * _MIB


class UnpackThroughput:
    """A whole command: layers in the page cache to files.

    ``durability``: what each command does by itself, or, for all the same, the whole
    filesystem synced before the clock stops. What has to happen before (a daemon that
    runs, an image that is imported) is not timed; what every user of the command waits
    for is.
    """

    name = "unpack_throughput"
    question = "How long does it take to unpack an image?"
    family = Family.UNPACKER
    operation = "unpack"
    baselines: Sequence[str] = ("containerd-1-unpack", "tar-xzf", "snapfs-unpack")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {
                    "files": files,
                    "size_mib": size,
                    "layers": layers,
                    "compression": compression,
                    "durability": durability,
                },
                runs=1,
                warmups=0,
                expected_s=size * _MIB / _BYTES_A_SECOND,
            )
            for files, size, layers, compression, durability in _ASKED[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, UnpackTarget) else "it unpacks no images"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, UnpackTarget)
        return _UnpackTrial(target, cell, workspace)


class _UnpackTrial(Trial):
    def __init__(self, target: UnpackTarget, cell: Cell, workspace: Workspace) -> None:
        self._target = target
        self._directory = workspace.directory  # where the target writes, too
        self._is_synced = cell.parameters["durability"] == _SYNCED
        files, size, layers = (
            int(cell.parameters[name]) for name in ("files", "size_mib", "layers")
        )
        compression = str(cell.parameters["compression"])
        self._image = make_image(files, size * _MIB, layers, 1, compression)

    def set_up(self) -> None:
        self._target.load(self._image)
        write_back(
            self._directory
        )  # what was loaded, and removed before, is not this run's to write

    def run_once(self) -> Outcome:
        counts = self._target.unpack(self._image)
        if self._is_synced:
            write_back(self._directory)
        return Outcome(1, bytes=self._image.plain_bytes, counts=counts)

    def validate(self, outcome: Outcome) -> None:
        check_contents(self._target, self._image)

    def tear_down(self) -> None:
        self._target.discard(self._image)
