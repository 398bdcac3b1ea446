"""How programs that unpack images write what was changed since as a layer."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from snapfs import syscalls
from snapfs.benchmarks import programs
from snapfs.benchmarks.images import TAG, BenchImage
from snapfs.benchmarks.protocols import NO_COUNTS
from snapfs.benchmarks.targets.containerd_unpack import ContainerdUnpack
from snapfs.benchmarks.targets.unpackers import SnapfsUnpack, UmociUnpack

_WORK = "work"
_DONE = "done"
_US = 1_000_000


class SnapfsLayers(SnapfsUnpack):
    """``snapfs commit --layer``: one pass over what the upper directory holds."""

    @contextlib.contextmanager
    def open_changes(self, image: BenchImage) -> Iterator[Path]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.open_changes`."""
        self._snapfs("prepare", _WORK, image.chain[-1])
        merged = self.home / "merged"
        merged.mkdir(exist_ok=True)
        self._snapfs("mount", _WORK, str(merged), "--rw")
        try:
            yield merged
        finally:
            self._snapfs("umount", str(merged))

    def write_layer(self, image: BenchImage, layer: Path) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.write_layer`."""
        del image
        shown = self._snapfs("commit", _DONE, _WORK, "--layer", str(layer))
        return engine_counts(json.loads(shown)["layer"])

    def drop_changes(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.drop_changes`."""
        del image
        self._snapfs("rm", _DONE)


class ContainerdLayers(ContainerdUnpack):
    """``ctr snapshots diff``: its differ walks both mounted trees."""

    @contextlib.contextmanager
    def open_changes(self, image: BenchImage) -> Iterator[Path]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.open_changes`."""
        self._snapshots("prepare", _WORK, image.chain[-1])
        with self.mounted(_WORK) as merged:
            yield merged

    @contextlib.contextmanager
    def mounted(self, key: str) -> Iterator[Path]:
        """Mount an active snapshot, as containerd says, for the block."""
        merged = self.home / "merged"
        merged.mkdir(exist_ok=True)
        line = self._snapshots("mounts", merged, key)
        programs.run(*shlex.split(line))  # the command that it says mounts the tree
        try:
            yield merged
        finally:
            syscalls.umount2(merged, syscalls.UMOUNT_NOFOLLOW)

    def write_layer(self, image: BenchImage, layer: Path) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.write_layer`."""
        del image  # without a second snapshot it compares with the parent
        words = ("--snapshotter", self.snapshotter, "diff", _WORK)
        self.containerd.ctr_to(layer, "snapshots", *words)
        return NO_COUNTS

    def drop_changes(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.drop_changes`."""
        del image
        self._snapshots("rm", _WORK)


class UmociLayers(UmociUnpack):
    """``umoci repack``: it compares the root filesystem with a manifest of it.

    The changes stay in the bundle from one run to the next, which makes the same ones
    again.
    """

    @contextlib.contextmanager
    def open_changes(self, image: BenchImage) -> Iterator[Path]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.open_changes`."""
        layout, bundle = self.home / "layout", self.home / "bundle"
        if not layout.exists():
            programs.run("cp", "-a", str(image.layout), str(layout))
            programs.run("umoci", "unpack", "--image", f"{layout}:{TAG}", str(bundle))
        yield bundle / "rootfs"

    def write_layer(self, image: BenchImage, layer: Path) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.write_layer`."""
        del image
        layout = self.home / "layout"
        programs.run(
            "umoci", "repack", "--image", f"{layout}:{_DONE}", str(self.home / "bundle")
        )
        layer.symlink_to(_last_layer(layout, _DONE))
        return NO_COUNTS

    def drop_changes(self, image: BenchImage) -> None:
        """See :meth:`snapfs.benchmarks.protocols.LayerTarget.drop_changes`."""
        del image
        programs.run("umoci", "rm", "--image", f"{self.home / 'layout'}:{_DONE}")


def engine_counts(shape: Mapping[str, float]) -> Mapping[str, int]:
    """Return what a command says that its work took, apart from its start and end."""
    return {"engine_us": round(shape["elapsed_s"] * _US)}


def _last_layer(layout: Path, tag: str) -> Path:
    """Return the blob of the last layer of an image in an OCI layout."""
    blobs = layout / "blobs" / "sha256"

    def read(descriptor: dict[str, str]) -> Path:
        return blobs / descriptor["digest"].removeprefix("sha256:")

    index = json.loads((layout / "index.json").read_text())
    name = "org.opencontainers.image.ref.name"
    (found,) = [
        entry for entry in index["manifests"] if entry["annotations"].get(name) == tag
    ]
    return read(json.loads(read(found).read_text())["layers"][-1])
