"""Parts of a layer's plain tar, taken out in one pass that verifies all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from snapfs.errors import DataLossError
from snapfs.image.layer_blobs import open_layer
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource
from snapfs.layer.limits import Limits
from snapfs.unpack.plain_stream import PlainStream


def copy_ranges(
    source: ImageSource,
    layer: ImageLayer,
    ranges: Iterable[tuple[int, int]],
    write: Callable[[memoryview], object],
    limits: Limits,
) -> None:
    """Give ``write`` parts of a layer's plain tar, one after the other.

    ``ranges`` are offsets and lengths, ascending and apart from each other. What was
    written counts only once this has returned: the digests are known at the end.

    Raises:
        NotFoundError: The source does not have the layer.
        UnsafeLayerError: The layer breaks a limit.
        DataLossError: It is damaged, not the one of its diff ID, or ends too early.
    """
    where = f"{source.name}: layer {layer.descriptor.digest}"
    blob = open_layer(source, layer.descriptor)
    with PlainStream(blob, layer.descriptor, layer.diff_id, limits, where) as stream:
        at, block = 0, memoryview(stream.read_block())
        for start, length in ranges:
            end = start + length
            while start < end:
                if start >= at + len(block):
                    if not block:
                        raise DataLossError(f"{where} ends at byte {at} of its tar")
                    at += len(block)
                    block = memoryview(stream.read_block())
                    continue
                piece = block[start - at : end - at]
                write(piece)
                start += len(piece)
        while block:
            block = memoryview(stream.read_block())
        stream.verify()
