"""How long containerd takes to import an image, and to unpack it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.images import make_image
from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    Outcome,
    Profile,
    Target,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.snapshot_events import SnapshotEvents
from snapfs.benchmarks.semantics.unpacker import check_contents
from snapfs.benchmarks.targets.containerd_unpack import ContainerdUnpack

_MIB: Final = 1 << 20
_UNPACK: Final = "prepare-to-commit"
_WHOLE: Final = "whole-import"

# Files, mebibytes, layers.
_ASKED: Final = {
    Profile.QUICK: ((2_000, 32, 1),),
    Profile.STANDARD: ((4_000, 64, 4),),
    Profile.FULL: ((60_000, 968, 1), (60_000, 968, 8)),
}
_BYTES_A_SECOND: Final = 100 * _MIB
_NS_A_US: Final = 1_000


class ImageImport:
    """``ctr images import`` of an archive, by containerd's transfer service if it can.

    ``prepare-to-commit``: from the first Prepare to the last Commit, as containerd's
    events tell, which leaves out what no snapshotter and no differ can change: the
    start of ctr, and the way of the blobs into the content store.
    """

    name = "image_import"
    question = "How long does containerd take to import an image?"
    family = Family.UNPACKER
    operation = "import"
    baselines: Sequence[str] = ("containerd-1-unpack", "containerd-2-unpack")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            Cell(
                {"span": span, "files": files, "size_mib": size, "layers": layers},
                runs=1,
                warmups=0,
                expected_s=size * _MIB / _BYTES_A_SECOND,
            )
            for files, size, layers in _ASKED[profile]
            for span in (_UNPACK, _WHOLE)
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return "" if isinstance(target, ContainerdUnpack) else "it is no containerd"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, ContainerdUnpack)
        return _Trial(target, cell, workspace)


class _Trial(Trial):
    def __init__(
        self, target: ContainerdUnpack, cell: Cell, workspace: Workspace
    ) -> None:
        self._target = target
        self._is_whole = cell.parameters["span"] == _WHOLE
        files, size, self._layers = (
            int(cell.parameters[name]) for name in ("files", "size_mib", "layers")
        )
        self._image = make_image(files, size * _MIB, self._layers, seed=1)
        self._events = SnapshotEvents(
            target.containerd, workspace.run_directory / "events"
        )

    def set_up(self) -> None:
        self._events.forget()

    def run_once(self) -> Outcome:
        begun_ns = time.perf_counter_ns()
        self._target.import_image(self._image)
        whole_ns = time.perf_counter_ns() - begun_ns
        span_ns = self._events.span_ns(self._layers)
        return Outcome(
            1,
            bytes=self._image.plain_bytes,
            durations_ns=[whole_ns if self._is_whole else span_ns],
            counts={
                "whole_us": whole_ns // _NS_A_US,
                "prepare_to_commit_us": span_ns // _NS_A_US,
            },
        )

    def validate(self, outcome: Outcome) -> None:
        check_contents(self._target, self._image)

    def tear_down(self) -> None:
        self._target.discard(self._image)
