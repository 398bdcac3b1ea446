"""What a snapshotter's calls cost while it unpacks a layer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.images import make_image
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
from snapfs.benchmarks.scenarios.load_client import client_parameters, connect_load
from snapfs.benchmarks.scenarios.snapshot_calls import Call
from snapfs.benchmarks.targets.containerd_snapfs import ContainerdSnapfs

_MIB: Final = 1 << 20
_IDLE: Final = "idle"
_UNPACK: Final = "unpack"

# Files and mebibytes of the image's one layer.
_ASKED: Final = {
    Profile.QUICK: (2_000, 32),
    Profile.STANDARD: (2_000, 32),
    Profile.FULL: (60_000, 968),
}
# In a row, so that a batch is short; and of an idle run, so that p99 means something.
_BATCH: Final = 100
_IDLE_BATCHES: Final = 20
# As a busy kubelet and containerd ask, not as fast as they could.
_PAUSE_S: Final = 0.01

_KEY: Final = "asked"


class CallsDuringUnpack:
    """Stat, over gRPC, while nothing else happens and while a layer is applied.

    Each call is timed; compare the p99 of the two cells.
    """

    name = "calls_during_unpack"
    question = "How much longer does a call take while a layer is unpacked?"
    family = Family.UNPACKER
    operation = "stat"
    baselines: Sequence[str] = ("containerd-2-snapfs",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        files, size = _ASKED[profile]
        return [
            Cell(
                {
                    "load": load,
                    "files": files,
                    "size_mib": size,
                    **client_parameters(),
                },
                operations=0,  # as many as are made meanwhile
                runs=1,
                warmups=0,
                expected_s=2.0 if load == _IDLE else 2.0 + size / 100,
            )
            for load in (_IDLE, _UNPACK)
        ]

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if isinstance(target, ContainerdSnapfs):
            return ""
        return "no calls reach it while it unpacks"

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        del workspace, seed  # the image is kept between runs: it has its own seed
        assert isinstance(target, ContainerdSnapfs)
        return _Trial(target, cell)


class _Trial(Trial):
    def __init__(self, target: ContainerdSnapfs, cell: Cell) -> None:
        self._target = target
        self._is_loaded = cell.parameters["load"] == _UNPACK
        files, size = (int(cell.parameters[name]) for name in ("files", "size_mib"))
        self._image = make_image(files, size * _MIB, 1, seed=1)
        self._calls = [Call("stat", key=_KEY)] * _BATCH
        self._client = connect_load(target.address)
        self._pause = threading.Event()

    def processes(self) -> Sequence[int]:
        return self._client.processes()

    def set_up(self) -> None:
        self._target.load(self._image)
        # For each run anew: containerd's collection takes what it did not make.
        self._client.run([Call("prepare", key=_KEY)])

    def run_once(self) -> Outcome:
        if not self._is_loaded:
            times = [ns for _ in range(_IDLE_BATCHES) for ns in self._ask()]
            return Outcome(len(times), durations_ns=times)
        work = threading.Thread(target=self._target.unpack, args=(self._image,))
        work.start()
        times = []
        while work.is_alive():
            times += self._ask()
        work.join()
        return Outcome(len(times), durations_ns=times)

    def validate(self, outcome: Outcome) -> None:
        layers = len(self._target.contents(self._image)) - 1  # and what is asked for
        if layers != (1 if self._is_loaded else 0):
            raise InvalidResultError(f"{layers} layers were unpacked")

    def tear_down(self) -> None:
        self._client.run([Call("remove", key=_KEY)])
        self._target.discard(self._image)

    def close(self) -> None:
        self._client.close()

    def _ask(self) -> Sequence[int]:
        answer = self._client.run(self._calls)
        self._pause.wait(_PAUSE_S)
        return answer.durations_ns
