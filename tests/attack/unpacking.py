"""The whole path: a hostile image in an OCI layout, unpacked into a store."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from attack.applying import as_caller, unaimed
from attack.canaries import Surroundings
from attack.on_disk import found_below, in_words

from snapfs.errors import SnapfsError
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.image.source import ImageSource
from snapfs.layer.limits import Limits, Policy
from snapfs.manager import SnapshotManager
from snapfs.model import Durability
from snapfs.overlay_format import XattrPrefix
from snapfs.unpack.settings import UnpackSettings
from snapfs.unpack.unpacking import unpack_image
from support.applied_layers import opened
from support.image_files import Files, Layer, digest, layout_files, write_directory

_JOBS: Final = 2


def layer_of(tar: bytes, blob: bytes | None = None) -> Layer:
    """Return the layer of a plain tar, as gzip if no blob is given."""
    stored = gzip.compress(tar, 1, mtime=0) if blob is None else blob
    return Layer("ADD evil /", stored, digest(tar))


class Unpacking:
    """Unpacks hostile images into one store, and watches everything around it.

    Attributes:
        canaries: What attacks aim at.
    """

    def __init__(self, place: Surroundings, store: SnapshotManager) -> None:
        self._place = place
        self._store = store
        self._image = place.root / "image"
        self._root = Path(store.status().root)
        self.canaries = place.canaries

    def layers(
        self,
        *layers: Layer,
        limits: Limits | None = None,
        policy: Policy | None = None,
        spoil: Callable[[Files], None] | None = None,
        also: Callable[[Path], None] | None = None,
    ) -> SnapfsError | dict[str, str]:
        """Unpack an image of the layers.

        ``spoil`` changes its files, ``also`` the directory that they were written to.
        """
        files = layout_files(self._place.root, layers)
        del files["manifest.json"]
        if spoil is not None:
            spoil(files)
        write_directory(self._image, files)
        try:
            if also is not None:
                also(self._image)
            with open_layout("evil", str(self._image)) as source:
                return self.watched(source, limits or Limits(), policy or Policy())
        finally:
            shutil.rmtree(self._image)

    def labels_of(self, chain_id: str) -> Mapping[str, str]:
        """Return the labels of an unpacked image."""
        return self._store.stat(chain_id).labels

    def watched(
        self, source: ImageSource, limits: Limits, policy: Policy
    ) -> SnapfsError | dict[str, str]:
        """Unpack an image; return its error, or what its top layer is, in words.

        Raises:
            AssertionError: Something around has changed, or something is left.
        """
        before = self._place.photograph(self._root)
        in_store = self._listing()
        descriptors = len(os.listdir("/proc/self/fd"))
        settings = UnpackSettings(_JOBS, limits, as_caller(policy), Durability.NONE)
        outcome: SnapfsError | dict[str, str]
        try:
            image = open_image(source)
            unpacked = unpack_image(self._store, source, image, settings)
        except SnapfsError as error:
            outcome = error
            assert self._listing() - {self._root / "indexes"} <= in_store
        else:
            directory = Path(self._store.details(unpacked.name).directory)
            outcome = self._words(directory / "fs")
            assert self._listing() - in_store - {self._root / "indexes"} == {directory}
        assert self._place.photograph(self._root) == before
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert os.listdir(self._root / "staging") == []
        assert self._store.check() == []
        return outcome

    def _words(self, content: Path) -> dict[str, str]:
        prefix = XattrPrefix(self._store.status().xattr_prefix)
        with opened(content) as fd:
            words = in_words(found_below(fd), prefix)
        return {path: unaimed(w, self._place.canaries) for path, w in words.items()}

    def _listing(self) -> set[Path]:
        """Return what lies in the store.

        Neither what is in a snapshot nor the cache of indexes, which may keep what it
        learned of a layer that was refused for those below it.
        """
        found = set()
        for path, directories, files in os.walk(self._root):
            found |= {Path(path, name) for name in (*directories, *files)}
            if Path(path) == self._root:
                directories.remove("snapshots")
                if "indexes" in directories:
                    directories.remove("indexes")
        return found | set((self._root / "snapshots").iterdir())
