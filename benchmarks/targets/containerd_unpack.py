"""containerd's own unpack: its differ into its overlayfs snapshotter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from snapfs.benchmarks.images import BenchImage
from snapfs.benchmarks.protocols import NO_COUNTS, Fairness, Family, Workspace
from snapfs.benchmarks.scenarios import containerd_installation
from snapfs.benchmarks.scenarios.containerd_installation import Installation
from snapfs.benchmarks.scenarios.private_containerd import (
    BUILT_IN,
    PrivateContainerd,
)
from snapfs.errors import UnavailableError

_BASE = "bench"
_SNAPSHOTTER = "io.containerd.snapshotter.v1.overlayfs"


class ContainerdUnpack:
    """``ctr snapshots unpack`` of an image that was imported before.

    It unpacks as ``ctr images pull`` does: layer by layer, decompressing with unpigz
    where that is installed.

    Args:
        name: See :class:`snapfs.benchmarks.protocols.Target`.
        find: Finds the containerd; raises UnavailableError if there is none.
    """

    family = Family.UNPACKER

    def __init__(self, name: str, find: Callable[[], Installation]) -> None:
        self.name = name
        self.summary = f"ctr snapshots unpack, {name}: differ and overlayfs built in"
        self._find = find
        self._containerd: PrivateContainerd | None = None
        self._home: Path | None = None

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        unpigz = "unpigz" if shutil.which("unpigz") else "Go's gzip"
        return Fairness(
            durability="nothing is synced",
            cache="the kernel's page cache",
            threads=f"a Go program; decompresses by {unpigz}",
            privileges="root",
            version="" if self.unavailable() else self._find().version,
            notes="the image's blobs are in its content store before",
        )

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        if reason := containerd_installation.unavailable():
            return reason
        try:
            self._find()
        except UnavailableError as error:
            return str(error)
        return ""

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        self._home = workspace.directory
        self._containerd = PrivateContainerd(
            workspace.directory, workspace.run_directory, "", self._find()
        )

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        if self._containerd is not None:
            self._containerd.close()
            self._containerd = None

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        return self._containerd.processes() if self._containerd else ()

    def forget_caches(self) -> None:
        """Do nothing: all that is cached is the kernel's."""

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        return NO_COUNTS

    def load(self, image: BenchImage) -> None:
        """Import the image's blobs, without unpacking."""
        self._ctr(
            *("images", "import", "--no-unpack", "--base-name", _BASE, image.archive)
        )

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        self._snapshots("unpack", image.manifest)
        return NO_COUNTS

    def import_image(self, image: BenchImage) -> None:
        """Import the image and unpack it; :meth:`discard` undoes it, too."""
        self._ctr(
            *("images", "import", "--snapshotter", self.snapshotter),
            *("--base-name", _BASE, image.archive),
        )

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.contents`."""
        snapshots = self.home / "containerd" / _SNAPSHOTTER / "snapshots"
        return [path / "fs" for path in snapshots.iterdir()]

    def discard(self, image: BenchImage) -> None:
        """Remove the image and wait for the collection of all that it referred to.

        Snapshots that are removed by themselves stay on disk until some later one.
        """
        if names := self._ctr("images", "ls", "--quiet").split():
            self._ctr("images", "rm", "--sync", *names)

    @property
    def containerd(self) -> PrivateContainerd:
        """The containerd of this instance."""
        assert self._containerd is not None, "not started"
        return self._containerd

    @property
    def home(self) -> Path:
        """The directory of this instance."""
        assert self._home is not None, "not started"
        return self._home

    @property
    def snapshotter(self) -> str:
        """What containerd calls the snapshotter."""
        return BUILT_IN

    def _ctr(self, *words: str | Path) -> str:
        return self.containerd.ctr(*words)

    def _snapshots(self, *words: str | Path) -> str:
        return self._ctr("snapshots", "--snapshotter", self.snapshotter, *words)
