"""Reading blobs so that nothing but what was asked for gets through."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from snapfs.errors import DataLossError, DigestMismatchError, UnsafeLayerError
from snapfs.image.descriptor import Descriptor
from snapfs.image.documents import DOCUMENT_BYTES
from snapfs.image.source import BlobReader, ImageSource

# Asked of a source at a time when a rest is read only to verify it.
_PIECE_BYTES: Final = 1 << 20


class VerifiedReader:
    """A blob's bytes, checked against its descriptor as they pass; a BlobReader.

    The last bytes come out only after size and digest were found right, and after
    the source was found to have no more: who has read ``size_bytes`` bytes, or
    seen b"", has read the blob itself. What came before may have been of another.

    Args:
        reader: The blob from its first byte on; closed with this one.
        descriptor: What it must be.
        where: What messages call the source.
    """

    def __init__(self, reader: BlobReader, descriptor: Descriptor, where: str) -> None:
        self._reader = reader
        self._descriptor = descriptor
        self._where = where
        self._hasher = descriptor.digest.hasher()
        self._left = descriptor.size_bytes
        self._verified = False

    @property
    def is_verified(self) -> bool:
        """Tell whether all bytes were read and found right."""
        return self._verified

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            DataLossError: The blob is shorter or longer than its descriptor says.
            DigestMismatchError: Its content is not what the digest names.
        """
        if self._left < 0:
            raise self._loss("is longer than the")
        if self._verified or not size_bytes:
            return b""
        piece = b""
        if self._left:
            piece = self._reader.read(min(size_bytes, self._left))
            if not piece:
                got = self._descriptor.size_bytes - self._left
                raise self._loss(f"ends after {got} of")
            self._hasher.update(piece)
            self._left -= len(piece)
        if not self._left and self._reader.read(1):
            self._left = -1
        if self._left < 0:
            raise self._loss("is longer than the")
        if not self._left:
            self._check_digest()
        return piece

    def finish(self) -> None:
        """Read and verify what is left; whoever stops before b"" calls this.

        Raises:
            DataLossError: As for :meth:`read`.
            DigestMismatchError: As for :meth:`read`.
        """
        while not self._verified:
            self.read(_PIECE_BYTES)

    def close(self) -> None:
        """Close the reader below; nothing is verified by that."""
        self._reader.close()

    def _check_digest(self) -> None:
        found = self._hasher.hexdigest()
        if found != self._descriptor.digest.hex:
            raise DigestMismatchError(
                f"{self._where}: blob {self._descriptor.digest} has the digest "
                f"{self._descriptor.digest.algorithm}:{found}"
            )
        self._verified = True

    def _loss(self, what: str) -> DataLossError:
        return DataLossError(
            f"{self._where}: blob {self._descriptor.digest} {what} "
            f"{self._descriptor.size_bytes} bytes that its descriptor gives it"
        )


def open_verified(source: ImageSource, descriptor: Descriptor) -> VerifiedReader:
    """Open the blob of ``descriptor`` from its first byte on.

    Raises:
        NotFoundError: The source does not have it.
    """
    return VerifiedReader(source.open_blob(descriptor), descriptor, source.name)


def read_document(
    source: ImageSource, descriptor: Descriptor, limit: int = DOCUMENT_BYTES
) -> bytes:
    """Return the whole blob of ``descriptor``, verified.

    A descriptor that carries its ``data`` needs no source; it is verified likewise.

    Raises:
        UnsafeLayerError: The blob is said to be larger than ``limit`` bytes.
        NotFoundError: The source does not have it.
        DataLossError: It is shorter or longer than its descriptor says.
        DigestMismatchError: Its content is not what the digest names.
    """
    if descriptor.size_bytes > limit:
        raise UnsafeLayerError(
            f"{source.name}: document {descriptor.digest} has "
            f"{descriptor.size_bytes} bytes; at most {limit} are read"
        )
    if descriptor.data is not None:
        reader = VerifiedReader(MemoryReader(descriptor.data), descriptor, source.name)
    else:
        reader = open_verified(source, descriptor)
    with closing(reader):
        pieces = []
        while piece := reader.read(_PIECE_BYTES):
            pieces.append(piece)
    return b"".join(pieces)


class MemoryReader:
    """Bytes that are in memory already, as a BlobReader."""

    def __init__(self, content: bytes, offset: int = 0) -> None:
        self._content = content
        self._offset = offset

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end."""
        piece = self._content[self._offset : self._offset + size_bytes]
        self._offset += len(piece)
        return piece

    def close(self) -> None:
        """Let go of nothing."""
