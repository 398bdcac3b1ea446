"""One tar as an image of one layer: ``tar:FILE``, compressed or not."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from typing import Final

from snapfs.compression import Compression
from snapfs.digest import Digest
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.files import FilesSource, RangeReader
from snapfs.image.made import encode_config, encode_manifest
from snapfs.image.outer_file import compression_of, open_regular, plain_blocks
from snapfs.image.source import BlobReader

_PIECE_BYTES: Final = 1 << 20

_LAYER_TYPES: Final = {
    Compression.NONE: media_types.OCI_LAYER,
    Compression.GZIP: media_types.OCI_LAYER_GZIP,
    Compression.ZSTD: media_types.OCI_LAYER_ZSTD,
    # There is no type for it; the content decides when it is unpacked.
    Compression.LZ4: media_types.OCI_LAYER,
}


class OneFile:
    """A single file, whatever path is asked for; a ``Files``.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is neither a file nor a pipe.
    """

    def __init__(self, path: str) -> None:
        self.descriptor = open_regular(path)

    def size(self, path: str) -> int | None:
        """Return the file's size in bytes."""
        del path
        return os.fstat(self.descriptor).st_size

    def open(self, path: str, offset: int = 0) -> BlobReader:
        """Open the file for reading from ``offset`` on."""
        return RangeReader(self.descriptor, offset, self.size(path) or 0)

    def close(self) -> None:
        """Close the file; it may be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class TarSource(FilesSource):
    """A layer's tar with a manifest and a config made for it.

    Opening the image reads the file once: its layer is named by what it holds.
    Whoever reads the layer later checks that it is still the same.
    """

    def __init__(self, name: str, file: OneFile) -> None:
        super().__init__(name, file)
        self._file = file
        self._layer: Descriptor | None = None

    def root(self) -> Descriptor:
        """Return the descriptor of a manifest made for the tar.

        Raises:
            DataLossError: It is compressed, and damaged.
            UnimplementedError: It is compressed in a way that is not ours.
            UnsafeLayerError: It grows beyond measure when decompressed.
        """
        compression = compression_of(self._file.descriptor, 0)
        size_bytes = self._file.size("") or 0
        with closing(_HashingReader(self._file.open(""))) as stored:
            plain = hashlib.sha256()
            if compression is not Compression.NONE:
                for block in plain_blocks(stored, size_bytes, self._name):
                    plain.update(block)
            stored.drain()
        digest = stored.digest()
        diff_id = digest
        if compression is not Compression.NONE:
            diff_id = Digest(f"sha256:{plain.hexdigest()}")
        self._layer = Descriptor(_LAYER_TYPES[compression], digest, size_bytes)
        config = self._make(media_types.OCI_CONFIG, encode_config([diff_id]))
        return self._make(
            media_types.OCI_MANIFEST,
            encode_manifest(media_types.OCI_MANIFEST, config, [self._layer]),
        )

    def _path_of(self, descriptor: Descriptor) -> str | None:
        is_layer = self._layer and self._layer.digest == descriptor.digest
        return "" if is_layer else None


class _HashingReader:
    """A reader that hashes what it hands out."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader
        self._hasher = hashlib.sha256()

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end."""
        piece = self._reader.read(size_bytes)
        self._hasher.update(piece)
        return piece

    def drain(self) -> None:
        """Read what is left: a decompressor may stop before the end."""
        while self.read(_PIECE_BYTES):
            pass

    def digest(self) -> Digest:
        """Return the digest of what was handed out."""
        return Digest(f"sha256:{self._hasher.hexdigest()}")

    def close(self) -> None:
        """Close the reader below."""
        self._reader.close()


def open_tar(name: str, path: str) -> TarSource:
    """Open the tar ``path``; ``name`` is what messages call it.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is neither a file nor a pipe.
    """
    return TarSource(name, OneFile(path))
