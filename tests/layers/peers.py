"""Other programs that unpack images, and what a mount of their result shows."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import pytest

from snapfs.kernel_overlay import OverlayDriver
from snapfs.model import Kind, Stack
from snapfs.overlay_format import XattrPrefix
from support.containerd import Containerd, require_generation
from support.layouts import LayoutWriter, archive_of
from support.observer import Observer
from support.sandbox import Sandbox
from support.tree_metadata import Tree, read_metadata

PEERS: Final = ("umoci", "containerd-1.6", "containerd-2")


class Peer(Protocol):
    """Unpacks one image after the other."""

    def unpack(self, image: LayoutWriter) -> Tree | None:
        """Return all that the image shows; None if the peer refuses it."""


class Umoci:
    """Unpacks into one directory, layer over layer."""

    def __init__(self, scratch: Path) -> None:
        self._bundle = scratch / "bundle"

    def unpack(self, image: LayoutWriter) -> Tree | None:
        words = ("umoci", "unpack", "--image", f"{image.path}:latest", self._bundle)
        try:
            done = subprocess.run(words, capture_output=True, check=False)
            if done.returncode:
                return None
            return read_metadata(bytes(self._bundle / "rootfs"))
        finally:
            if self._bundle.exists():
                shutil.rmtree(self._bundle)


class ContainerdPeer:
    """Unpacks with its own differ and its own overlayfs snapshotter."""

    def __init__(self, containerd: Containerd, observer: Observer) -> None:
        self._containerd = containerd
        self._observer = observer
        self._empty = containerd.sandbox.home / "empty"
        self._empty.mkdir()

    def unpack(self, image: LayoutWriter) -> Tree | None:
        archive = archive_of(image.path)
        words = ("images", "import", "--snapshotter", self._containerd.snapshotter)
        if self._containerd.try_ctr(*words, archive).returncode:
            return None
        self._containerd.snapshots("prepare", "seen", image.chain_id)
        try:
            shown = self._containerd.snapshots("mounts", "/target", "seen")
            lowerdirs = re.search(r"lowerdir=([^,\s]+)", shown)
            assert lowerdirs is not None, shown
            stack = (*lowerdirs[1].split(":"), str(self._empty))
            driver = OverlayDriver(xattr_prefix=XattrPrefix.TRUSTED)
            return self._observer.tree(driver.local_mounts(Stack(Kind.VIEW, stack)))
        finally:
            self._containerd.snapshots("rm", "seen")
            self._containerd.ctr("images", "rm", image.name)


@contextlib.contextmanager
def running_peer(name: str, scratch: Path, observer: Observer) -> Iterator[Peer]:
    """Yield the peer ``name``; skips the test, with the reason, where it is missing."""
    if name == "umoci":
        if shutil.which("umoci") is None:
            pytest.skip("no umoci here; the distribution's package umoci has it")
        yield Umoci(scratch)
        return
    generation = require_generation("packaged" if name == "containerd-1.6" else "built")
    if not generation.version.startswith(name.removeprefix("containerd-")):
        pytest.skip(f"needs {name}; containerd here is {generation.version}")
    with Sandbox() as sandbox:
        yield ContainerdPeer(Containerd(sandbox, generation, "overlayfs"), observer)
