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

_MIB: Final = 1 << 20

# Files, mebibytes, layers, and how these are compressed. The first of FULL is the size
# of many a language's base image.
_ASKED: Final = {
    Profile.QUICK: ((2_000, 32, 1, GZIP),),
    Profile.STANDARD: (
        (2_000, 32, 1, GZIP),
        (4_000, 64, 8, GZIP),
        (4_000, 64, 1, ZSTD),
    ),
    Profile.FULL: (
        (60_000, 968, 1, GZIP),
        (60_000, 968, 4, GZIP),
        (60_000, 968, 16, GZIP),
        (2_000, 32, 64, GZIP),
        (60_000, 968, 1, ZSTD),
    ),
}
_BYTES_A_SECOND: Final = 100 * _MIB


class UnpackThroughput:
    """A whole command: layers in the page cache to files, synced if the target says so.

    What has to happen before (a daemon that runs, an image that is imported) is not
    timed; what every user of the command waits for is.
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
                },
                runs=1,
                warmups=0,
                expected_s=size * _MIB / _BYTES_A_SECOND,
            )
            for files, size, layers, compression in _ASKED[profile]
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, UnpackTarget) else "it unpacks no images"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del workspace, seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, UnpackTarget)
        return _UnpackTrial(target, cell)


class _UnpackTrial(Trial):
    def __init__(self, target: UnpackTarget, cell: Cell) -> None:
        self._target = target
        files, size, layers = (
            int(cell.parameters[name]) for name in ("files", "size_mib", "layers")
        )
        compression = str(cell.parameters["compression"])
        self._image = make_image(files, size * _MIB, layers, 1, compression)

    def set_up(self) -> None:
        self._target.load(self._image)

    def run_once(self) -> Outcome:
        counts = self._target.unpack(self._image)
        return Outcome(1, bytes=self._image.plain_bytes, counts=counts)

    def validate(self, outcome: Outcome) -> None:
        check_contents(self._target, self._image)

    def tear_down(self) -> None:
        self._target.discard(self._image)
