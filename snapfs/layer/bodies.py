"""Bodies of files: from the views of the reader straight into the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from snapfs.errors import DataLossError


def write_all(fd: int, data: memoryview) -> None:
    """Write ``data`` whole at the file's position.

    Raises:
        OSError: From write(2).
    """
    while data:
        data = data[os.write(fd, data) :]


def write_sparse(
    fd: int,
    size_bytes: int,
    extents: Iterable[tuple[int, int]],
    pieces: Iterator[memoryview],
) -> None:
    """Write the data extents of a sparse file; the holes between them stay holes.

    Raises:
        DataLossError: The pieces end before the extents do.
        OSError: From ftruncate(2) or pwrite(2).
    """
    os.ftruncate(fd, size_bytes)
    piece = memoryview(b"")
    for offset, length in extents:
        end = offset + length
        while offset < end:
            if not piece:
                piece = next(pieces, piece)
                if not piece:
                    raise DataLossError("the data of a sparse file is cut short")
            written = os.pwrite(fd, piece[: end - offset], offset)
            piece = piece[written:]
            offset += written
