"""What the snapshotters of the suite share: one server process on one store."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import (
    NO_COUNTS,
    Fairness,
    Family,
    Workspace,
)
from snapfs.benchmarks.targets.server_process import ServerProcess
from snapfs.remote import RemoteSnapshotter

# A call that takes longer hangs: a collection of 10,000 snapshots takes seconds.
_CALL_TIMEOUT_S: Final = 300.0


class SnapshotService(abc.ABC):
    """A :class:`snapfs.benchmarks.protocols.SnapshotterTarget` in one process.

    Beyond that contract it can be halted and launched again on the same store, and
    waits until nothing of a removed snapshot is left.
    """

    family = Family.SNAPSHOTTER

    def __init__(self) -> None:
        self._workspace: Workspace | None = None
        self._server: ServerProcess | None = None

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @property
    @abc.abstractmethod
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @abc.abstractmethod
    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""

    @abc.abstractmethod
    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""

    @abc.abstractmethod
    def command(self, root: Path, address: Path) -> Sequence[str]:
        """Return the command that serves the store in ``root`` on ``address``."""

    @abc.abstractmethod
    def settle(self) -> None:
        """Free the space of every removed snapshot; return when that is done."""

    @abc.abstractmethod
    def leftovers(self) -> Sequence[Path]:
        """Return the directories of snapshots on disk, removed or not."""

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        self._workspace = workspace
        self._server = ServerProcess(
            self.command(self.root, Path(self.address)),
            Path(self.address),
            workspace.run_directory / "server.log",
        )
        self._server.start()

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        if self._server is not None:
            self._server.stop()

    def launch(self) -> None:
        """Start the server again after :meth:`halt`; on return it answers."""
        assert self._server is not None, "not started"
        self._server.start()

    def halt(self) -> None:
        """End the server; the store stays."""
        self.stop()

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        return [] if self._server is None else self._server.pids()

    def forget_caches(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.forget_caches`."""
        self.halt()
        self.launch()

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        return NO_COUNTS

    @property
    def address(self) -> str:
        """See :attr:`snapfs.benchmarks.protocols.SnapshotterTarget.address`."""
        assert self._workspace is not None, "not started"
        return str(self._workspace.run_directory / "s.sock")

    @property
    def root(self) -> Path:
        """The directory of the store."""
        assert self._workspace is not None, "not started"
        return self._workspace.directory / "root"

    def connect(self) -> RemoteSnapshotter:
        """See :meth:`snapfs.benchmarks.protocols.SnapshotterTarget.connect`."""
        return RemoteSnapshotter(self.address, timeout_s=_CALL_TIMEOUT_S)
