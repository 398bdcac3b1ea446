"""An image layout in one tar, written in one go: ``oci-archive`` and the like."""

from __future__ import annotations

import os
from typing import Final

from snapfs.compression.blob_writer import WrittenBlob
from snapfs.export.place import BlobProducer, blob_path
from snapfs.layer.bodies import write_all
from snapfs.tar.encoding import END_OF_ARCHIVE, TarEntry, encode_header, padding
from snapfs.tar.header import BLOCK_BYTES
from snapfs.tar.member import MemberKind

_MODE: Final = 0o644


class ArchivePlace:
    """Members of a tar in a file that can be written anywhere; see ImagePlace.

    The header of a blob names its digest and size, and is written when both are known.

    Args:
        fd: An empty file, open for writing; it stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._names: set[str] = set()

    def add_blob(self, produce: BlobProducer) -> WrittenBlob:
        """See :class:`snapfs.export.place.ImagePlace`."""
        start = self._at
        os.lseek(self._fd, start + BLOCK_BYTES, os.SEEK_SET)
        written = produce(lambda data: write_all(self._fd, memoryview(data)))
        name = blob_path(written.digest)
        if name in self._names:
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
            return written
        self._names.add(name)
        write_all(self._fd, memoryview(padding(written.size_bytes)))
        self._at = os.lseek(self._fd, 0, os.SEEK_CUR)
        # From 8 GiB on the size stands there in base 256, and has no PAX record.
        header = _header(name, written.size_bytes)[-BLOCK_BYTES:]
        os.pwrite(self._fd, header, start)
        return written

    def add_file(self, name: str, content: bytes) -> None:
        """See :class:`snapfs.export.place.ImagePlace`."""
        if name in self._names:
            return
        self._names.add(name)
        data = _header(name, len(content)) + content + padding(len(content))
        write_all(self._fd, memoryview(data))
        self._at += len(data)

    def finish(self) -> None:
        """End the tar.

        Raises:
            OSError: The place is full, or fails.
        """
        write_all(self._fd, memoryview(END_OF_ARCHIVE))


def _header(name: str, size_bytes: int) -> bytes:
    entry = TarEntry(name.encode(), MemberKind.FILE, _MODE, size_bytes=size_bytes)
    return encode_header(entry)
