"""The file an archive lies in, as plain bytes that can be read anywhere."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from snapfs.compression import ByteSource, Compression, detect, open_plain
from snapfs.errors import InvalidArgumentError, NotFoundError, UnsafeLayerError
from snapfs.image.files import RangeReader

STANDARD_INPUT: Final = "-"
_PIPE_BYTES: Final = 1 << 20

# Enough for every magic number of ``snapfs.compression``.
HEAD_BYTES: Final = 512
_ZSTD_WINDOW_BYTES: Final = 128 << 20

# Against bombs: what the plain archive may take in the temporary directory.
_FREE_BYTES: Final = 1 << 30
_RATIO: Final = 1000


def open_regular(path: str, temporary_directory: str | None = None) -> int:
    """Open the file ``path`` for reading anywhere in it; ``-`` is standard input.

    A pipe is read to its end into a file without a name, which goes with the last
    descriptor of it.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is neither a file nor a pipe.
        OSError: No room for what the pipe holds, among others.
    """
    try:
        is_pipe = path == STANDARD_INPUT or stat.S_ISFIFO(os.stat(path).st_mode)
        # A pipe that somebody is about to write to is waited for; nothing else is.
        flags = os.O_RDONLY | os.O_CLOEXEC | (0 if is_pipe else os.O_NONBLOCK)
        descriptor = os.dup(0) if path == STANDARD_INPUT else os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no file {path!r}") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    try:
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return _spooled(descriptor, temporary_directory)
    finally:
        os.close(descriptor)
    shown = "standard input" if path == STANDARD_INPUT else repr(path)
    raise InvalidArgumentError(f"{shown} is not a file, nor a pipe")


def _spooled(pipe: int, temporary_directory: str | None) -> int:
    with tempfile.TemporaryFile(dir=temporary_directory) as output:
        while piece := os.read(pipe, _PIPE_BYTES):
            output.write(piece)
        output.flush()
        return os.dup(output.fileno())


def open_plain_file(path: str, temporary_directory: str | None = None) -> int:
    """Return a descriptor of ``path``'s plain bytes.

    A compressed archive (``docker save | gzip``) is decompressed once to a file
    without a name, which goes with the last descriptor of it.

    Raises:
        NotFoundError: There is no such file.
        InvalidArgumentError: It is neither a file nor a pipe.
        UnsafeLayerError: It grows beyond measure when decompressed.
        DataLossError: The compressed stream is damaged.
        UnimplementedError: It has a compression that is not ours.
    """
    descriptor = open_regular(path, temporary_directory)
    try:
        if compression_of(descriptor, 0) is Compression.NONE:
            return os.dup(descriptor)
        return _decompress(descriptor, path, temporary_directory)
    finally:
        os.close(descriptor)


def compression_of(descriptor: int, offset: int) -> Compression:
    """Return the compression that the bytes at ``offset`` show.

    Raises:
        UnimplementedError: It is one that is not ours.
    """
    return detect(os.pread(descriptor, HEAD_BYTES, offset))


def plain_blocks(source: ByteSource, stored_bytes: int, what: str) -> Iterator[bytes]:
    """Yield the plain bytes of ``source``, which has ``stored_bytes`` bytes.

    Raises:
        UnsafeLayerError: They are out of all measure; ``what`` is named.
        DataLossError: The compressed stream is damaged.
        UnimplementedError: It has a compression that is not ours.
    """
    limit = max(_FREE_BYTES, _RATIO * stored_bytes)
    plain = open_plain(source, zstd_window_bytes=_ZSTD_WINDOW_BYTES)
    try:
        total = 0
        while block := plain.read_block():
            total += len(block)
            if total > limit:
                raise UnsafeLayerError(
                    f"{what} has more than {limit} plain bytes for {stored_bytes} "
                    "compressed ones; decompress it yourself if you trust it"
                )
            yield block
    finally:
        plain.close()


def _decompress(descriptor: int, path: str, temporary_directory: str | None) -> int:
    stored = os.fstat(descriptor).st_size
    with (
        closing(RangeReader(descriptor, 0, stored)) as source,
        tempfile.TemporaryFile(dir=temporary_directory) as output,
    ):
        for block in plain_blocks(source, stored, repr(path)):
            output.write(block)
        output.flush()
        return os.dup(output.fileno())
