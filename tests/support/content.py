"""A content store in memory, for what applies layers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

from snapfs.differ import Content
from snapfs.errors import NotFoundError
from snapfs.image.descriptor import Descriptor
from snapfs.image.media_types import OCI_LAYER_GZIP
from snapfs.image.source import BlobReader
from snapfs.image.verified import MemoryReader


@dataclasses.dataclass
class Blobs:
    """A content store in memory; ``before_read`` runs at the first byte."""

    data: dict[str, bytes] = dataclasses.field(default_factory=dict)
    namespaces: list[str] = dataclasses.field(default_factory=list)
    before_read: Callable[[], None] = lambda: None

    def add(self, data: bytes, media_type: str = OCI_LAYER_GZIP) -> Content:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.data[digest] = data
        return Content(media_type, digest, len(data))

    def open(self, descriptor: Descriptor, namespace: str) -> BlobReader:
        self.namespaces.append(namespace)
        data = self.data.get(str(descriptor.digest))
        if data is None:
            raise NotFoundError(f"no blob {descriptor.digest}")
        return Hooked(MemoryReader(data), self.before_read)


class Hooked:
    """A reader that calls before each read."""

    def __init__(self, reader: BlobReader, before: Callable[[], None]) -> None:
        self._reader = reader
        self._before = before

    def read(self, size_bytes: int, /) -> bytes:
        self._before()
        return self._reader.read(size_bytes)

    def close(self) -> None:
        self._reader.close()
