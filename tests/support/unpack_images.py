"""Images of a few entries, unpacked in this process, and sources that stand still."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from snapfs.image.descriptor import Descriptor
from snapfs.image.layout import open_layout
from snapfs.image.resolve import Image, ImageLayer, open_image
from snapfs.image.source import BlobReader, ImageSource
from snapfs.model import Durability
from snapfs.snapshotter import Store
from snapfs.stopping import Stop
from snapfs.unpack.messages import Applied, Progress
from snapfs.unpack.results import Unpacked
from snapfs.unpack.settings import UnpackObserver, UnpackSettings
from snapfs.unpack.unpacking import unpack_image
from support.applied_layers import Item, tar_of
from support.layouts import LayoutWriter, Packing

# Only so that a test that would hang fails.
PATIENCE_S = 60


def layout_of(
    path: Path, *layers: Sequence[Item] | bytes, packing: Packing = Packing.NONE
) -> Path:
    """Write an image of ``layers`` (entries, or a whole tar), the lowest first."""
    writer = LayoutWriter(path)
    for layer in layers:
        tar = layer if isinstance(layer, bytes) else tar_of(layer)
        writer.add_layer([tar], packing)
    return writer.finish()


def read_image(layout: Path) -> Image:
    """Return the image of a layout."""
    with open_layout("test", str(layout), "") as source:
        return open_image(source)


def unpack(
    store: Store,
    layout: Path,
    observer: UnpackObserver | None = None,
    **settings: Any,  # noqa: ANN401 - as UnpackSettings has them
) -> Unpacked:
    """Unpack the image of a layout."""
    with open_layout("test", str(layout), "") as source:
        return unpack_from(store, source, observer, **settings)


def unpack_from(
    store: Store,
    source: ImageSource,
    observer: UnpackObserver | None = None,
    stop: Stop | None = None,
    **settings: Any,  # noqa: ANN401 - as UnpackSettings has them
) -> Unpacked:
    """Unpack the image of a source."""
    given: dict[str, Any] = {"jobs": 2, "durability": Durability.NONE} | settings
    chosen = UnpackSettings(**given)
    return unpack_image(store, source, open_image(source), chosen, observer, stop)


class Recorder:
    """An UnpackObserver that remembers what became of each layer, by diff ID."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def words_of(self, layer: ImageLayer) -> list[str]:
        return [word for diff_id, word in self.said if diff_id == str(layer.diff_id)]

    def layer_reused(self, layer: ImageLayer) -> None:
        self.said.append((str(layer.diff_id), "reused"))

    def layer_started(self, layer: ImageLayer) -> None:
        self.said.append((str(layer.diff_id), "started"))

    def layer_progress(self, layer: ImageLayer, progress: Progress) -> None:
        pass

    def layer_applied(self, layer: ImageLayer, applied: Applied) -> None:
        self.said.append((str(layer.diff_id), "applied"))

    def publishing(self) -> None:
        self.said.append(("", "publishing"))


class HeldSource:
    """An ImageSource that gives half of each layer, and waits for :meth:`release`."""

    def __init__(self, layout: Path) -> None:
        self._source = open_layout("test", str(layout), "")
        layers = open_image(self._source).layers
        self._layers = {layer.descriptor.digest for layer in layers}
        self._released = threading.Event()
        self.is_held = threading.Event()

    def release(self) -> None:
        self._released.set()

    @property
    def name(self) -> str:
        return self._source.name

    def root(self) -> Descriptor:
        return self._source.root()

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        reader = self._source.open_blob(descriptor, offset)
        if descriptor.digest not in self._layers:
            return reader
        return _HeldReader(reader, descriptor.size_bytes // 2, self)

    def hold(self, closed: threading.Event) -> None:
        self.is_held.set()
        while not (self._released.wait(0.01) or closed.is_set()):
            pass

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _HeldReader:
    def __init__(self, reader: BlobReader, free_bytes: int, source: HeldSource) -> None:
        self._reader = reader
        self._free_bytes = free_bytes
        self._source = source
        self._closed = threading.Event()

    def read(self, size_bytes: int, /) -> bytes:
        if self._free_bytes:
            piece = self._reader.read(min(size_bytes, self._free_bytes))
            self._free_bytes -= len(piece)
            return piece
        self._source.hold(self._closed)
        return b"" if self._closed.is_set() else self._reader.read(size_bytes)

    def close(self) -> None:
        self._closed.set()
        self._reader.close()


class Unpacking(threading.Thread):
    """An unpack on a thread of its own."""

    def __init__(
        self,
        store: Store,
        source: ImageSource,
        stop: Stop | None = None,
        **settings: Any,  # noqa: ANN401 - as UnpackSettings has them
    ) -> None:
        super().__init__(daemon=True)
        self._call = (store, source, None, stop)
        self._settings = settings
        self.result: Unpacked | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = unpack_from(*self._call, **self._settings)
        except BaseException as error:  # noqa: BLE001 - for the test to see
            self.error = error

    def outcome(self) -> Unpacked:
        """Return what it came to.

        Raises:
            BaseException: What it raised.
        """
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the unpack does not end"
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result


def workers_of(pid: int | None = None) -> list[psutil.Process]:
    """Return the processes that apply layers for a process, by default this one."""
    found = []
    for nursery in nurseries_of(pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            found += nursery.children()
    return found


def helpers_of(pid: int) -> list[psutil.Process]:
    """Return all that a process has started to apply layers."""
    return [*nurseries_of(pid), *workers_of(pid)]


def nurseries_of(pid: int | None = None) -> list[psutil.Process]:
    """Return the processes that start those."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.cmdline()[-2:] == ["-m", "snapfs.unpack"]:
                found.append(child)
    return found


def staged_names(root: Path) -> list[str]:
    """Return what lies in the staging directory of a store."""
    return sorted(path.name for path in (root / "staging").iterdir())
