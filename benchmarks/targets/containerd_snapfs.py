"""containerd with snapfs as its snapshotter and its differ."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import snapfs
from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.protocols import Fairness, Workspace
from snapfs.benchmarks.scenarios.containerd_installation import Installation
from snapfs.benchmarks.scenarios.private_containerd import (
    PROXY,
    PrivateContainerd,
)
from snapfs.benchmarks.targets.layer_packs import ContainerdPacks
from snapfs.benchmarks.targets.server_process import ServerProcess, wait_for_answer
from snapfs.remote import RemoteStore


class ContainerdSnapfs(ContainerdPacks):
    """The commands of :class:`ContainerdPacks`; snapfs does the work.

    Nothing is synced but records, as containerd's own snapshotter does.
    """

    def __init__(self, name: str, find: Callable[[], Installation]) -> None:
        super().__init__(name, find)
        self.summary = "ctr snapshots unpack and diff by snapfs serve"
        self._server: ServerProcess | None = None
        self.address = ""

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return dataclasses.replace(
            super().fairness(),
            durability="every row and sidecar is on disk when a call returns; content"
            " is not synced",
            threads="a process of Python for each layer; isal or zlib-ng, threads for"
            " reading, decompressing and hashing",
            notes=f"snapfs {snapfs.__version__}, Python {sys.version.split()[0]};"
            " the image's blobs are in containerd's content store before",
        )

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        self._home = workspace.directory
        run = workspace.run_directory
        self.address = str(run / "s.sock")
        self._server = ServerProcess(
            (
                *(sys.executable, "-m", "snapfs", "--root", str(self.root)),
                *("--driver", "kernel", "serve", "--address", self.address),
                *("--durability", "none"),
                *("--containerd-address", str(run / "c.sock")),
                *("--containerd-root", str(self.home / "containerd")),
            ),
            Path(self.address),
            run / "server.log",
        )
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._server.start()
            self._containerd = PrivateContainerd(
                *(self.home, run, self.address, self._find()), has_differ=True
            )
            undo.pop_all()

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        super().stop()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        served = self._server.pids() if self._server else ()
        return [*super().processes(), *served]

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.contents`."""
        del image
        return [path / "fs" for path in (self.root / "snapshots").iterdir()]

    def discard(self, image: BenchImage) -> None:
        """Remove the image; wait until the files of its snapshots are gone."""
        super().discard(image)
        address = self.root / "snapfs.sock"
        wait_for_answer(address)
        with RemoteStore(str(address)) as store:
            store.reclaim()

    @property
    def root(self) -> Path:
        """The directory of the store."""
        return self.home / "root"

    @property
    def snapshotter(self) -> str:
        """See :class:`ContainerdUnpack`."""
        return PROXY
