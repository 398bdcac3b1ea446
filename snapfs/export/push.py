"""Pushing an exported image to a registry: blobs first, the manifest last."""

from __future__ import annotations

from snapfs.export.image import Exported
from snapfs.export.place import blob_path
from snapfs.image.descriptor import Descriptor
from snapfs.image.files import DirectoryFiles
from snapfs.image.registry.push import RegistryTarget
from snapfs.image.source import BlobReader
from snapfs.stopping import Stop


def push_image(
    target: RegistryTarget, layout: str, exported: Exported, stop: Stop
) -> None:
    """Push an image that was written as the layout ``layout``, under the target's name.

    Raises:
        SnapfsError: As :meth:`RegistryTarget.push_blob` and ``push_manifest``.
        UnavailableError: It was stopped; the image is not there then, blobs may be.
    """
    files = DirectoryFiles(layout)
    try:
        layers = [layer.descriptor for layer in exported.layers]
        distinct = {found.digest: found for found in (*layers, exported.config)}
        for descriptor in distinct.values():
            _push(target, files, descriptor, stop)
        stop.check()
        target.push_manifest(exported.manifest_content, exported.manifest.media_type)
    finally:
        files.close()


def _push(
    target: RegistryTarget, files: DirectoryFiles, descriptor: Descriptor, stop: Stop
) -> None:
    path = blob_path(descriptor.digest)
    target.push_blob(
        descriptor, lambda offset: _Stoppable(files.open(path, offset), stop)
    )


class _Stoppable:
    """A reader that ends when somebody wants the work to end."""

    def __init__(self, reader: BlobReader, stop: Stop) -> None:
        self._reader = reader
        self._stop = stop

    def read(self, size_bytes: int, /) -> bytes:
        self._stop.check()
        return self._reader.read(size_bytes)

    def close(self) -> None:
        self._reader.close()
