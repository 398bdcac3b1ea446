"""The union engine of this project, by its helper."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import snapfs
from snapfs.benchmarks.protocols import Fairness, Workspace
from snapfs.benchmarks.targets.fuse_tree import FuseOverlay
from snapfs.benchmarks.targets.overlay_tree import Place
from snapfs.errors import SnapfsError, UnavailableError
from snapfs.fuse.control import read_statistics
from snapfs.layer.dirindex_build import write_dirindex
from snapfs.overlay_format import XattrPrefix
from snapfs.state.fsio import open_directory

_IMPORTED_FROM: Final = Path(snapfs.__file__).resolve().parent.parent


class SnapfsFuse(FuseOverlay):
    """``python -m snapfs.fuse.helper`` in one of its modes.

    Args:
        mode: "fast" or "io".
        is_volatile: Nothing is synced, as fuse-overlayfs does it at copy-up.
    """

    def __init__(self, mode: str = "fast", *, is_volatile: bool = False) -> None:
        super().__init__()
        self._mode = mode
        self._is_volatile = is_volatile
        self.options = (f"mode={mode}", *(("volatile",) if is_volatile else ()))
        # Of mounts that are gone: what was counted stays counted.
        self._counted: Counter[str] = Counter()
        self._layers: IndexedLayers | None = None

    @property
    def name(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        mode = "" if self._mode == "fast" else f"-{self._mode}"
        return f"snapfs-fuse{mode}{'-volatile' if self._is_volatile else ''}"

    @property
    def summary(self) -> str:
        """See :class:`snapfs.benchmarks.protocols.Target`."""
        return f"snapfs's own FUSE union, mode {self._mode}"

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability=(
                "nothing is synced"
                if self._is_volatile
                else "a copied-up file is on disk before its name"
            ),
            cache="the kernel's, without end; nodes and listings in the server",
            threads="one for messages, workers for long calls",
            privileges="root",
            version=snapfs.__version__,
            notes=(
                f"mode={self._mode}; layers with the index that `snapfs unpack` leaves;"
                f" CPython {sys.version.split()[0]}"
            ),
        )

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        super().start(workspace)
        layers = workspace.directory / "layers"
        layers.mkdir()
        self._layers = IndexedLayers(layers)

    def make_place(self, lowerdirs: Sequence[Path], name: str) -> Place:
        """See :meth:`OverlayTree.make_place`; the layers are as in a store."""
        assert self._layers is not None, "not started"
        return super().make_place([self._layers.of(path) for path in lowerdirs], name)

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        return super().unavailable() or _lacking(self._mode)

    def program(self) -> str:
        """See :meth:`FuseTree.program`."""
        return sys.executable

    def command(self, place: Place) -> Sequence[str]:
        """See :meth:`FuseTree.command`."""
        return (
            *(self.program(), "-m", "snapfs.fuse.helper", "-f"),
            *("-o", self.overlay_options(place), "snapfs", str(place.merged)),
        )

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        total = Counter(self._counted)
        for place in self._mounted.values():
            total.update(_counts_of(place))
        return total

    def unmount(self, place: Place) -> None:
        """See :meth:`FuseTree.unmount`."""
        with contextlib.suppress(OSError, SnapfsError):  # its server has died
            self._counted.update(_counts_of(place))
        super().unmount(place)

    def environment(self) -> Mapping[str, str]:
        """See :meth:`FuseTree.environment`."""
        return {**super().environment(), "PYTHONPATH": str(_IMPORTED_FROM)}


class IndexedLayers:
    """Layers of anybody as ``snapfs unpack`` leaves them: with an index beside."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[Path, Path] = {}

    def of(self, layer: Path) -> Path:
        """Return another path of ``layer``, which has its index beside it."""
        if layer not in self._made:
            home = self._directory / str(len(self._made))
            home.mkdir()
            path = home / "fs"
            path.symlink_to(layer)
            with (
                open_directory(str(home)) as directory,
                open_directory(str(path)) as root,
            ):
                write_dirindex(directory, root, XattrPrefix.TRUSTED)
            self._made[layer] = path
        return self._made[layer]


def _counts_of(place: Place) -> Mapping[str, int]:
    """Ask a mount's server what it was asked, and what it copied."""
    status = os.stat(place.merged)
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    told = read_statistics(device)
    requests = told["requests"]
    assert isinstance(requests, Mapping)
    copied = told["copied_bytes"]
    assert isinstance(copied, int)
    return {"fuse_requests": sum(requests.values()), "copied_up_bytes": copied}


@functools.cache
def _lacking(mode: str) -> str:
    """Say why an empty union cannot be mounted in ``mode``; "" if it can.

    The engine itself knows; it is asked once a process.
    """
    target = SnapfsFuse(mode)
    with tempfile.TemporaryDirectory(prefix="snapfs-probe-") as directory:
        root = Path(directory)
        (root / "lower").mkdir()
        try:
            target.start(Workspace(root, root, ""))
            target.present([root / "lower"], "probe")
        except UnavailableError as error:
            return str(error)
        finally:
            target.stop()
    return ""
