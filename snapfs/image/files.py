"""Where an image's files lie: in a directory, or in an archive (``archive.py``)."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from typing import Protocol

from snapfs.closing import Closing
from snapfs.digest import sha256
from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    UnsafeLayerError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader
from snapfs.image.verified import MemoryReader


class Files(Protocol):
    """Files by their relative paths; any number of threads may read them."""

    def size(self, path: str) -> int | None:
        """Return the size in bytes, or None where there is no such file.

        Raises:
            InvalidArgumentError: The path leads to something that is no file.
        """

    def open(self, path: str, offset: int = 0) -> BlobReader:
        """Open a file for reading from ``offset`` on.

        Raises:
            NotFoundError: There is no such file.
            InvalidArgumentError: The path leads to something that is no file.
        """

    def close(self) -> None:
        """Let go of what is held; readers that are open keep working."""


class RangeReader:
    """Bytes ``start`` to ``end`` of an open file, as a BlobReader.

    It has a descriptor of its own, so that it never reads another file after the
    number was given to one, and reads with pread(2), so that readers of one file
    do not disturb each other.
    """

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._position = start
        self._end = end

    @property
    def descriptor(self) -> int:
        """The open file; the reader's own."""
        return self._descriptor

    @property
    def position(self) -> int:
        """Where in the file the next byte is."""
        return self._position

    @property
    def end(self) -> int:
        """Where in the file the last byte ends."""
        return self._end

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            DataLossError: The file has become shorter.
        """
        size_bytes = min(size_bytes, self._end - self._position)
        if size_bytes <= 0:
            return b""
        piece = os.pread(self._descriptor, size_bytes, self._position)
        if not piece:
            raise DataLossError(
                f"the file ends at byte {self._position}, {self._end} were there"
            )
        self._position += len(piece)
        return piece

    def close(self) -> None:
        """Close the descriptor; it may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class DirectoryFiles:
    """The files below one directory.

    Symlinks are followed: build tools make layouts of them, and what they lead to
    counts only if it has the digest that was asked for. Devices and pipes are
    refused. Callers pass paths of known form, never text from a document.

    Raises:
        NotFoundError: There is no such directory.
        InvalidArgumentError: It is not a directory.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"there is no directory {path!r}") from None
        except NotADirectoryError:
            raise InvalidArgumentError(f"{path!r} is not a directory") from None

    def size(self, path: str) -> int | None:
        """Return the size in bytes, or None where there is no such file."""
        try:
            status = os.stat(path, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise self._named(error, path) from error
        return _file_size(status, path)

    def open(self, path: str, offset: int = 0) -> BlobReader:
        """Open a file for reading from ``offset`` on."""
        try:
            # O_NONBLOCK: a pipe without a writer would wait here.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            descriptor = os.open(path, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _ABSENT:
                raise NotFoundError(f"there is no file {path!r}") from error
            raise self._named(error, path) from error
        try:
            size_bytes = _file_size(os.fstat(descriptor), path)
            return RangeReader(descriptor, offset, size_bytes)
        finally:
            os.close(descriptor)

    def _named(self, error: OSError, path: str) -> OSError:
        """Return the error with the whole path, which the kernel was not told."""
        return OSError(error.errno, error.strerror, os.path.join(self._path, path))

    def close(self) -> None:
        """Close the directory; it may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def _file_size(status: os.stat_result, path: str) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"{path!r} is not a file")
    return status.st_size


def read_file(files: Files, path: str, limit: int, what: str) -> bytes:
    """Return a file that no digest vouches for: a source's own table of contents.

    Raises:
        NotFoundError: There is no such file.
        UnsafeLayerError: It has more than ``limit`` bytes.
    """
    size_bytes = files.size(path)
    if size_bytes is None:
        raise NotFoundError(f"{what}: there is no file {path!r}")
    if size_bytes > limit:
        raise UnsafeLayerError(
            f"{what}: {path!r} has {size_bytes} bytes; at most {limit} are read"
        )
    reader = files.open(path)
    try:
        pieces = []
        while piece := reader.read(limit):
            pieces.append(piece)
    finally:
        reader.close()
    return b"".join(pieces)


class FilesSource(ABC, Closing):
    """What all sources over files share; an ImageSource but for ``root``.

    Where a source has no manifest of OCI's form, it makes one and serves it, and
    other documents that it made, from memory.
    """

    def __init__(self, name: str, files: Files) -> None:
        self._name = name
        self._files = files
        self._made: dict[str, bytes] = {}

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._name

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """Open a blob for reading from ``offset`` on."""
        content = self._made.get(str(descriptor.digest))
        if content is not None:
            return MemoryReader(content, offset)
        path = self._path_of(descriptor)
        if path is None:
            raise NotFoundError(f"{self._name}: blob {descriptor.digest} is missing")
        return self._files.open(path, offset)

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether there is a blob for ``descriptor``; it is not verified."""
        made = str(descriptor.digest) in self._made
        return made or self._path_of(descriptor) is not None

    @abstractmethod
    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that was asked for."""

    @abstractmethod
    def _path_of(self, descriptor: Descriptor) -> str | None:
        """Return the path of a blob's file, or None where there is none."""

    def _make(self, media_type: str, content: bytes) -> Descriptor:
        """Take a document that the source made, and return its descriptor."""
        descriptor = Descriptor(media_type, sha256(content), len(content))
        self._made[str(descriptor.digest)] = content
        return descriptor

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()
