"""Contents of files: from the blob of a layer, or from its directory."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from typing import Final, Protocol, TypeAlias, TypeVar

from snapfs.compression import Compression, open_plain
from snapfs.errors import DataLossError
from snapfs.image.layer_blobs import open_layer
from snapfs.image.resolve import ImageLayer
from snapfs.image.source import ImageSource
from snapfs.layer.index import IndexEntry
from snapfs.layer.limits import Limits

_PIECE_BYTES: Final = 1 << 20
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

Files: TypeAlias = Mapping[int, tuple[bytes, IndexEntry]]
"""Files of a layer by number: the path and the entry of each."""


class LayerContents(Protocol):
    """Where the bodies of one layer's files are."""

    def read(self, path: bytes, entry: IndexEntry) -> Iterator[bytes]:
        """Yield the content of a file, holes as zeros.

        Raises:
            NotFoundError: The source does not have the layer.
            DataLossError: The layer ends before the file does.
        """

    def digests(self, files: Files) -> Iterator[tuple[int, bytes]]:
        """Yield the SHA-256 of many files by their numbers, in one pass.

        Raises:
            NotFoundError: The source does not have the layer.
            DataLossError: The layer ends before a file does.
        """

    def heads(self, files: Files, size_bytes: int) -> Iterator[tuple[int, bytes]]:
        """Yield how many files begin, up to ``size_bytes`` of each, in one pass.

        Raises:
            NotFoundError: The source does not have the layer.
            DataLossError: The layer ends before a file does.
        """


class _Sink(Protocol):
    """What takes a file piece by piece."""

    def update(self, data: bytes, /) -> object: ...


_AnySink = TypeVar("_AnySink", bound=_Sink)


class _Buffer(bytearray):
    """A sink that keeps all."""

    update = bytearray.extend


class BlobContents:
    """Bodies in the stored blob of a layer: inflated as far as the file's end.

    The blob is verified as a whole when its index is made; what is read here is not
    verified again.
    """

    def __init__(self, source: ImageSource, layer: ImageLayer) -> None:
        self._source = source
        self._layer = layer

    def read(self, path: bytes, entry: IndexEntry) -> Iterator[bytes]:
        """See :class:`LayerContents`."""
        extents = entry.sparse
        if extents is None:
            return self._stored(path, entry.data_offset, entry.size_bytes)
        return self._with_holes(path, entry)

    def digests(self, files: Files) -> Iterator[tuple[int, bytes]]:
        """See :class:`LayerContents`."""
        for node, digest in self._poured(files, hashlib.sha256):
            yield node, digest.digest()

    def heads(self, files: Files, size_bytes: int) -> Iterator[tuple[int, bytes]]:
        """See :class:`LayerContents`."""
        cut = {}
        for node, (path, entry) in files.items():
            if entry.sparse is not None:
                yield node, _head(self.read(path, entry), size_bytes)
                continue
            size = min(size_bytes, entry.size_bytes)
            cut[node] = path, dataclasses.replace(entry, size_bytes=size)
        for node, buffer in self._poured(cut, _Buffer):
            yield node, bytes(buffer)

    def _poured(
        self, files: Files, sink: Callable[[], _AnySink]
    ) -> Iterator[tuple[int, _AnySink]]:
        """Yield each file poured into a sink of its own."""
        dense = [item for item in files.items() if item[1][1].sparse is None]
        dense.sort(key=lambda item: item[1][1].data_offset)
        for node, (path, entry) in files.items():
            if entry.sparse is not None:
                poured = sink()
                for piece in self.read(path, entry):
                    poured.update(piece)
                yield node, poured
        if not dense:
            return
        at = dense[0][1][1].data_offset
        with closing(self._plain_from(at)) as pieces:
            piece = b""
            for node, (path, entry) in dense:
                poured = sink()
                start, end = entry.data_offset, entry.data_offset + entry.size_bytes
                while start < end:
                    if at + len(piece) <= start:
                        at += len(piece)
                        piece = next(pieces, b"")
                        if not piece:
                            raise self._too_short(path)
                        continue
                    part = piece[start - at : end - at]
                    poured.update(part)
                    start += len(part)
                yield node, poured

    def _with_holes(self, path: bytes, entry: IndexEntry) -> Iterator[bytes]:
        at, offset = 0, entry.data_offset
        for start, length in entry.sparse or ():
            yield from _zeros(start - at)
            yield from self._stored(path, offset, length)
            at, offset = start + length, offset + length
        yield from _zeros(entry.size_bytes - at)

    def _stored(self, path: bytes, offset: int, size_bytes: int) -> Iterator[bytes]:
        """Yield a range of the plain tar."""
        if not size_bytes:
            return
        left = size_bytes
        for piece in self._plain_from(offset):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
        raise self._too_short(path)

    def _too_short(self, path: bytes) -> DataLossError:
        return DataLossError(
            f"{self._source.name}: layer {self._layer.descriptor.digest} ends before"
            f" {os.fsdecode(path)!r} does"
        )

    def _plain_from(self, offset: int) -> Generator[bytes, None, None]:
        descriptor = self._layer.descriptor
        window = Limits().zstd_window_bytes
        with (
            closing(open_layer(self._source, descriptor)) as blob,
            closing(open_plain(blob, zstd_window_bytes=window)) as plain,
        ):
            if plain.compression is not Compression.NONE or descriptor.data is not None:
                skip = offset
                while block := plain.read_block():
                    if skip < len(block):
                        yield block[skip:]
                    skip = max(0, skip - len(block))
                return
        with closing(self._source.open_blob(descriptor, offset)) as blob:
            while piece := blob.read(_PIECE_BYTES):
                yield piece


class DirectoryContents:
    """Bodies in a directory of unpacked files."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, path: bytes, entry: IndexEntry) -> Iterator[bytes]:
        """See :class:`LayerContents`."""
        descriptor = os.open(self._directory, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            *directories, name = path.split(b"/")
            for part in directories:
                deeper = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
            file = os.open(name, _FILE, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        with open(file, "rb") as opened:
            while piece := opened.read(_PIECE_BYTES):
                yield piece

    def digests(self, files: Files) -> Iterator[tuple[int, bytes]]:
        """See :class:`LayerContents`."""
        for node, (path, entry) in files.items():
            digest = hashlib.sha256()
            for piece in self.read(path, entry):
                digest.update(piece)
            yield node, digest.digest()

    def heads(self, files: Files, size_bytes: int) -> Iterator[tuple[int, bytes]]:
        """See :class:`LayerContents`."""
        for node, (path, entry) in files.items():
            yield node, _head(self.read(path, entry), size_bytes)


def _zeros(size_bytes: int) -> Iterator[bytes]:
    while size_bytes > 0:
        piece = min(size_bytes, _PIECE_BYTES)
        yield bytes(piece)
        size_bytes -= piece


def _head(pieces: Iterator[bytes], size_bytes: int) -> bytes:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= size_bytes:
            break
    return head[:size_bytes]
