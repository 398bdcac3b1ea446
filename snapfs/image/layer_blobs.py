"""Where a layer's stored bytes come from: its source, or the manifest itself.

A foreign layer (image-spec layer.md, "Non-Distributable Layers") may be missing, and
its descriptor then says by ``urls`` where its publisher keeps it. Other programs
fetch it from there, containerd and Podman even before they ask the registry. That
lets whoever wrote the image choose which addresses this host calls, inside its own
network too, so here it is the user who does: the error has the address.
"""

from __future__ import annotations

from typing import Final

from snapfs.errors import NotFoundError
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader, ImageSource
from snapfs.image.strict_json import shown
from snapfs.image.verified import MemoryReader

_SHOWN_URLS: Final = 3


def open_layer(source: ImageSource, descriptor: Descriptor) -> BlobReader:
    """Open the stored bytes of a layer; whoever reads verifies them.

    Raises:
        NotFoundError: The source does not have it; for a foreign layer the message
            says where it may be had.
        SnapfsError: As the source says.
    """
    if descriptor.data is not None:
        return MemoryReader(descriptor.data)
    try:
        return source.open_blob(descriptor)
    except NotFoundError as error:
        if not media_types.is_foreign(descriptor.media_type):
            raise
        raise NotFoundError(f"{error}; {_advice(descriptor)}") from error


def _advice(descriptor: Descriptor) -> str:
    if not descriptor.urls:
        return "it is a foreign layer, and the image does not say where to get it"
    places = " or ".join(shown(url) for url in descriptor.urls[:_SHOWN_URLS])
    return (
        f"it is a foreign layer, which only {places} has: fetch it and add it to the"
        " image as a blob"
    )
