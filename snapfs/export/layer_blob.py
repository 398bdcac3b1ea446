"""One layer, written whole: its entries to its stored bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from snapfs.compression.blob_writer import BlobWriter, WrittenBlob
from snapfs.compression.choosing import make_compressor
from snapfs.errors import SnapfsError
from snapfs.export.layer_source import LayerSource
from snapfs.export.settings import ExportSettings
from snapfs.layer.notes import Notes
from snapfs.layer.writing import write_layer
from snapfs.layer.written import LayerEntry
from snapfs.stopping import Stop

Tell: TypeAlias = Callable[[str, int], object]
"""Hears what is written: a layer's label, and how many stored bytes it has so far."""


def tell_nobody(_label: str, _stored_bytes: int) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A layer that was written.

    Attributes:
        blob: Its stored bytes.
        members: Of its tar.
        warnings: What was left out, a line each.
        elapsed_s: From the first look at the tree to the last stored byte.
    """

    blob: WrittenBlob
    members: int
    warnings: tuple[str, ...]
    elapsed_s: float


def write_layer_blob(
    source: LayerSource,
    settings: ExportSettings,
    write: Callable[[bytes], object],
    stop: Stop,
    tell: Tell = tell_nobody,
) -> WrittenLayer:
    """Write the stored bytes of a layer by ``write``, which another thread calls.

    That thread tells how far it is, too, after each block.

    Raises:
        SnapfsError: It cannot be a layer, or changed meanwhile; with its label.
        UnavailableError: It was stopped.
        OSError: From reading or writing.
    """
    begun_s = time.perf_counter()
    notes = Notes()
    compressor = make_compressor(settings.compression, fast=settings.fast)

    stored_bytes = 0

    def checked(data: bytes) -> None:
        nonlocal stored_bytes
        stop.check()
        write(data)
        stored_bytes += len(data)
        tell(source.label, stored_bytes)

    with (
        source.entries(notes) as entries,
        BlobWriter(checked, compressor, settings.threads) as writer,
    ):
        try:
            members = write_layer(_stoppable(entries, stop), writer, settings.form)
        except SnapfsError as error:
            if stop.is_asked:
                raise
            raise type(error)(f"{source.label}: {error}") from error
        blob = writer.finish()
    elapsed_s = time.perf_counter() - begun_s
    return WrittenLayer(blob, members, notes.lines(), elapsed_s)


def _stoppable(entries: Iterator[LayerEntry], stop: Stop) -> Iterator[LayerEntry]:
    for entry in entries:
        stop.check()
        yield entry
