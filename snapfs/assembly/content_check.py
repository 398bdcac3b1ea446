"""The contents of committed layers against what their tars say; and their repair.

Nothing here belongs to the process that answers calls: whoever wants to know opens
the store for a moment, to ask which layers there are, and looks at them alone.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from snapfs.digest import Digest
from snapfs.errors import DataLossError, NotFoundError, SnapfsError
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource
from snapfs.inspect.comparing import Damage, compare_layer
from snapfs.inspect.contents import BlobContents, DirectoryContents
from snapfs.inspect.expectations import LayerExpectation
from snapfs.layer.index import IndexEntry, LayerIndex
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits
from snapfs.model import Finding, Severity
from snapfs.model import Kind as SnapshotKind
from snapfs.overlay_format import XattrPrefix
from snapfs.snapshotter import Store
from snapfs.unpack.indexes import layer_index
from snapfs.unpack.renewal import renew_paths
from snapfs.unpack.stored_layers import StoredLayer, stored_layers


@dataclass(slots=True)
class DeepCheck:
    """What came of it.

    Attributes:
        findings: What is damaged still.
        compared: Layers that were compared with their indexes.
        read: Of these, layers whose files were compared with the blob, too.
        unknown: Committed layers of which nothing says what they should be.
        renewed: Names that were made anew.
    """

    findings: list[Finding] = field(default_factory=list)
    compared: int = 0
    read: int = 0
    unknown: int = 0
    renewed: int = 0


class ContentCheck:
    """One look at all committed layers of a store.

    Args:
        open_store: Opens the store, again and again: nobody is kept from it meanwhile.
        source: An image whose blobs are at hand; None for none.
        layers: Its layers.
    """

    def __init__(
        self,
        open_store: Callable[[], AbstractContextManager[Store]],
        source: ImageSource | None = None,
        layers: Sequence[ImageLayer] = (),
    ) -> None:
        self._open_store = open_store
        self._source = source
        with open_store() as store:
            status = store.status()
            self._details = list(store.list_details())
        self._prefix = XattrPrefix(status.xattr_prefix)
        self._cache = IndexCache(status.root)
        self._layers = {layer.diff_id: layer for layer in layers}
        self._indexes: dict[Digest, LayerIndex | None] = {}
        self._done = DeepCheck()
        self._read: set[str] = set()

    def run(self, *, repair: bool = False) -> DeepCheck:
        """Compare every layer that is known; make damaged names anew on ``repair``.

        Raises:
            DataLossError: The image's own blobs are damaged.
            SnapfsError: A repair failed.
        """
        done = self._done
        unpacked = frozenset(self._cache.diff_ids())
        contents = {
            each.content
            for each in self._details
            if each.info.kind is SnapshotKind.COMMITTED
        }
        for stored in stored_layers(
            self._details, {*unpacked, *self._layers}, unpacked
        ):
            index = self._index(stored.diff_id)
            if index is None:
                continue
            contents.discard(stored.details.content)
            done.compared += 1
            expectation = self._expectation(stored, index)
            damages = self._damages(stored, expectation)
            if damages and repair and stored.diff_id in self._layers:
                self._renew(stored, index, damages)
                damages = self._damages(stored, expectation)
            done.findings += self._findings(stored, damages)
        done.unknown = len(contents)
        done.read = len(self._read)
        return done

    def _index(self, diff_id: Digest | None) -> LayerIndex | None:
        """Return the index of a layer: the kept one, or what the image's blob says."""
        if diff_id is None:
            return None
        if diff_id not in self._indexes:
            found = self._cache.load(diff_id)
            layer = self._layers.get(diff_id)
            if found is None and layer is not None and self._source is not None:
                found = layer_index(self._source, layer, self._cache, Limits())
            self._indexes[diff_id] = found
        return self._indexes[diff_id]

    def _expectation(self, stored: StoredLayer, index: LayerIndex) -> LayerExpectation:
        below = [self._index(diff_id) for diff_id in stored.below]
        lower = [each for each in below if each is not None]
        is_complete = len(lower) == len(below)
        return LayerExpectation(
            [*lower, index] if is_complete else [index],
            is_lowest=not stored.details.info.parent,
            is_complete=is_complete,
            policy=stored.policy,
            prefix=self._prefix,
        )

    def _damages(
        self, stored: StoredLayer, expectation: LayerExpectation
    ) -> list[Damage]:
        directory = stored.details.content
        try:
            damages = list(compare_layer(directory, expectation))
        except OSError as error:
            return [Damage(b"", f"it cannot be read: {error.strerror}")]
        layer = self._layers.get(stored.diff_id)
        if layer is None or self._source is None:
            return damages
        self._read.add(stored.details.content)
        wrong = {damage.path for damage in damages}
        files = {
            node: (path, entry)
            for node, path, entry in _files(expectation)
            if path not in wrong
        }
        changed = list(_changed(directory, files, BlobContents(self._source, layer)))
        if changed:
            self._verify_blob(layer)  # before anything on disk is blamed
        return damages + changed

    def _verify_blob(self, layer: ImageLayer) -> None:
        assert self._source is not None
        with tempfile.TemporaryDirectory(prefix="snapfs-verify-") as empty:
            try:
                layer_index(self._source, layer, IndexCache(empty), Limits())
            except SnapfsError as error:
                raise DataLossError(
                    f"{error}; nothing can be compared with it, name another --from"
                ) from error

    def _renew(
        self, stored: StoredLayer, index: LayerIndex, damages: Sequence[Damage]
    ) -> None:
        if stored.renewed_by is None:
            return
        paths = set(_with_other_names(index, (damage.path for damage in damages)))
        assert self._source is not None
        with self._open_store() as store:
            renew_paths(
                store,
                self._source,
                self._layers[stored.diff_id],
                stored.details,
                stored.renewed_by,
                sorted(paths),
            )
        self._done.renewed += len(damages)

    def _findings(
        self, stored: StoredLayer, damages: Sequence[Damage]
    ) -> Iterator[Finding]:
        if not damages or not self._is_there_still(stored):
            return
        name = stored.details.info.name
        for damage in damages:
            yield Finding(
                Severity.ERROR,
                "content",
                f"{name}:/{os.fsdecode(damage.path)}",
                f"{damage.what}; {self._advice(stored)}",
            )

    def _advice(self, stored: StoredLayer) -> str:
        if stored.renewed_by is None:
            return "remove the snapshot and those on it, and unpack the image again"
        if stored.diff_id in self._layers:
            return "add --repair to have it made anew"
        return (
            "`--repair --from SOURCE` makes it anew, from an image with the layer"
            f" {stored.diff_id}"
        )

    def _is_there_still(self, stored: StoredLayer) -> bool:
        """Whether the snapshot was not removed while it was looked at."""
        try:
            with self._open_store() as store:
                now = store.details(stored.details.info.name)
        except NotFoundError:
            return False
        return now.content == stored.details.content


def _files(
    expectation: LayerExpectation,
) -> Iterator[tuple[int, bytes, IndexEntry]]:
    """Yield every file with a body in the blob, once for all its names."""
    seen = set()
    for path, node in expectation.index.walk():
        if expectation.index.kinds[node] != Kind.FILE:
            continue
        expected = expectation.expected(node, path)
        if expected is None or not expected.has_body:
            continue
        group = expected.entry.group
        if group and group in seen:
            continue
        seen.add(group)
        yield node, path, expected.entry


def _changed(
    directory: str, files: Mapping[int, tuple[bytes, IndexEntry]], blob: BlobContents
) -> Iterator[Damage]:
    disk = DirectoryContents(directory)
    for node, wanted in blob.digests(files):
        path, entry = files[node]
        found = hashlib.sha256()
        try:
            for piece in disk.read(path, entry):
                found.update(piece)
        except OSError as error:
            yield Damage(path, f"it cannot be read: {error.strerror}")
            continue
        if found.digest() != wanted:
            yield Damage(path, "its content is not that of the layer")


def _with_other_names(index: LayerIndex, paths: Iterator[bytes]) -> Iterator[bytes]:
    """Yield paths, and the other names of the files that they are names of."""
    groups = index.link_groups()
    links: dict[bytes, list[bytes]] = {}
    for path, node in index.walk():
        if index.kinds[node] == Kind.LOWER_LINK:
            links.setdefault(index.link_target(node), []).append(path)
    for path in paths:
        yield path
        named = index.lookup(path)
        if named is None:
            continue
        for other in groups.get(index.groups[named], ()):
            yield index.path(other)
        if index.kinds[named] == Kind.LOWER_LINK:
            yield from links[index.link_target(named)]
