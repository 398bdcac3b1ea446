"""Commands that unpack an OCI image: ours and those of others."""

from __future__ import annotations

import abc
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import snapfs
from snapfs.benchmarks import programs
from snapfs.benchmarks.images import TAG, BenchImage
from snapfs.benchmarks.protocols import NO_COUNTS, Fairness, Family, Workspace
from snapfs.model import Durability

_NOTHING_SYNCED: Final = "nothing is synced"
_PAGE_CACHE: Final = "the kernel's page cache"
_US: Final = 1_000_000
_TOTAL: Final = "total_s"


class UnpackCommand(abc.ABC):
    """What the commands share: a directory of their own, and no process between."""

    family = Family.UNPACKER
    program: str

    def __init__(self) -> None:
        self._home: Path | None = None

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @property
    @abc.abstractmethod
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""

    @abc.abstractmethod
    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""

    @abc.abstractmethod
    def version(self) -> str:
        """Return the version of the program; "" if unknown."""

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability=self.durability,
            cache=_PAGE_CACHE,
            threads=self.threads,
            privileges="root",
            version=self.version() if not self.unavailable() else "",
            notes=self.notes,
        )

    threads = "1"
    notes = ""

    @property
    def durability(self) -> str:
        """What is on disk when the command has ended."""
        return _NOTHING_SYNCED

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        if os.geteuid() != 0:
            return "owners are set, which needs root"
        return "" if shutil.which(self.program) else f"{self.program} is not installed"

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        self._home = workspace.directory

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        self._home = None

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        return ()

    def forget_caches(self) -> None:
        """Do nothing: all that is cached is the kernel's."""
        return

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        return NO_COUNTS

    def load(self, image: BenchImage) -> None:
        """Do nothing: the command reads the layout."""
        return

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.contents`."""
        return [self.place]

    def discard(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.discard`."""
        if self.place.exists():
            shutil.rmtree(self.place)

    @property
    def home(self) -> Path:
        """The directory of this instance."""
        assert self._home is not None, "not started"
        return self._home

    @property
    def place(self) -> Path:
        """Where the command unpacks to."""
        return self.home / "unpacked"


class TarCommand(UnpackCommand):
    """GNU tar, one layer after the other: no hashes, no whiteouts, no limits."""

    name = "tar-xzf"
    summary = "GNU tar xf of each layer; checks nothing"
    program = "tar"
    threads = "tar and gzip or zstd, a process each"
    notes = "neither digests nor whiteouts"

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return programs.run("tar", "--version").splitlines()[0].split()[-1]

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        self.place.mkdir()
        for layer in image.layers:
            programs.run("tar", "-xf", str(layer), "-C", str(self.place))
        return NO_COUNTS


class UmociUnpack(UnpackCommand):
    """umoci: one root filesystem of all layers, and a manifest of its metadata."""

    name = "umoci-unpack"
    summary = "umoci raw unpack: all layers into one directory"
    program = "umoci"
    threads = "a Go program"

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return programs.run("umoci", "--version").split()[-1]

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        programs.run(
            *("umoci", "raw", "unpack", "--image", f"{image.layout}:{TAG}"),
            str(self.place),
        )
        return NO_COUNTS


class PodmanPull(UnpackCommand):
    """podman: layers into the store that it shares with buildah and skopeo."""

    name = "podman-pull"
    summary = "podman pull oci:LAYOUT into containers/storage, driver overlay"
    program = "podman"
    threads = "a Go program"
    notes = "keeps what it needs to make each layer's tar again (tar-split)"
    _run_directory: Path

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return programs.run("podman", "--version").split()[-1]

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        # It names the image by the words of the path, which may make no name.
        layout = image.layout
        self._podman("pull", "--quiet", f"oci:{layout.name}:{TAG}", at=layout.parent)
        return NO_COUNTS

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.contents`."""
        return list((self.place / "root" / "overlay").glob("*/diff"))

    def discard(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.discard`."""
        if self.place.exists():
            self._podman("rmi", "--all", "--force")

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        super().start(workspace)
        self._run_directory = workspace.run_directory

    def _podman(self, *words: str, at: Path | None = None) -> None:
        places = {
            "--root": self.place / "root",
            "--runroot": self._run_directory,  # it takes 50 characters at most
            "--tmpdir": self.place / "tmp",
        }
        options = [word for option in places.items() for word in map(str, option)]
        command = ("podman", *options, "--storage-driver", "overlay", *words)
        programs.run(*command, directory=at)


class SnapfsUnpack(UnpackCommand):
    """``snapfs unpack``, as anybody types it: the start of Python is part of it."""

    program = sys.executable
    threads = "a process for each layer at work, three threads in each"

    def __init__(self, durability: Durability = Durability.NONE) -> None:
        super().__init__()
        self._durability = durability

    @property
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        is_default = self._durability is Durability.NONE
        return "snapfs-unpack" if is_default else f"snapfs-unpack-{self._durability}"

    @property
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        return f"snapfs unpack --durability {self._durability}, a whole command"

    @property
    def durability(self) -> str:
        """See :attr:`UnpackCommand.durability`."""
        if self._durability is Durability.NONE:
            return _NOTHING_SYNCED
        return "all layers by one syncfs(2), before the snapshots exist"

    def version(self) -> str:
        """See :meth:`UnpackCommand.version`."""
        return f"{snapfs.__version__}, Python {sys.version.split()[0]}"

    def unpack(self, image: BenchImage) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.unpack`."""
        shown = self._snapfs(
            "unpack", "--durability", str(self._durability), f"oci:{image.layout}:{TAG}"
        )
        return _stage_counts(json.loads(shown))

    def contents(self, image: BenchImage) -> Sequence[Path]:
        """See :meth:`snapfs.benchmarks.protocols.UnpackTarget.contents`."""
        return [path / "fs" for path in (self.place / "snapshots").iterdir()]

    def _snapfs(self, *words: str) -> str:
        return programs.run(
            *(sys.executable, "-m", "snapfs", "--root", str(self.place), "--json"),
            *words,
        )


def _stage_counts(
    document: dict[str, list[dict[str, dict[str, float]]]],
) -> dict[str, int]:
    """Return how long each stage was at work in all layers, in microseconds.

    ``floor_us`` is what no order of the stages can beat: all their work spread over the
    CPUs, or the slowest of them, of which each layer has one thread.
    """
    counts: dict[str, int] = {}
    slowest_us = 0
    for layer in document["layers"]:
        times = {
            stage: round(seconds * _US)
            for stage, seconds in (layer.get("times") or {}).items()
        }
        for stage, elapsed_us in times.items():
            name = f"{stage.removesuffix('_s')}_us"
            counts[name] = counts.get(name, 0) + elapsed_us
        stages = [us for stage, us in times.items() if stage != _TOTAL]
        slowest_us = max(slowest_us, *stages, 0)
    if counts:
        work_us = sum(us for name, us in counts.items() if name != "total_us")
        cpus = len(os.sched_getaffinity(0))
        counts["floor_us"] = max(work_us // cpus, slowest_us)
    return counts
