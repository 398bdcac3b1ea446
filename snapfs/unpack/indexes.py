"""The index of an image's layer without unpacking it: read once, kept in the store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from snapfs.errors import SnapfsError
from snapfs.image.layer_blobs import open_layer
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource
from snapfs.layer.index import LayerIndex
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.tree import LayerTree
from snapfs.tar.reader import TarReader
from snapfs.unpack.plain_stream import PlainStream

# The index says what the tar says; whoever uses it applies the policy.
_AS_WRITTEN = Policy(clamp=True)


def layer_index(
    source: ImageSource, layer: ImageLayer, cache: IndexCache, limits: Limits
) -> LayerIndex:
    """Return the index of a layer: what ``cache`` has, or what the layer's tar says.

    The tar is read once to its end, verified like a layer that is unpacked, and
    nothing but its index is written. An index with ``is_clamped`` is of use only
    where the policy clamps.

    Raises:
        NotFoundError: The source does not have the layer.
        UnsafeLayerError: An entry breaks a limit, or could never be unpacked.
        DataLossError: The layer is damaged, or not the one of its diff ID.
    """
    found = cache.load(layer.diff_id)
    if found is not None:
        return found
    where = f"{source.name}: layer {layer.descriptor.digest}"
    blob = open_layer(source, layer.descriptor)
    with (
        _naming(where),
        PlainStream(blob, layer.descriptor, layer.diff_id, limits, where) as stream,
    ):
        tree = LayerTree(limits, _AS_WRITTEN)
        reader = TarReader(stream.read_block, extension_bytes=limits.extension_bytes)
        admit = tree.admit
        while (member := reader.next_member()) is not None:
            admit(member)
        reader.drain()
        tree.settle()
        stream.verify()
    index = tree.index()
    with contextlib.suppress(OSError):  # a full disk: then it is made anew next time
        cache.save(layer.diff_id, index)
    return index


@contextlib.contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say in an error of the tar's reader, which knows no names, where that was."""
    try:
        yield
    except SnapfsError as error:
        if str(error).startswith(where):  # of the stream, which knows its name
            raise
        raise type(error)(f"{where}: {error}") from error
