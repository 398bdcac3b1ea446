"""A blob of containerd's content store, read piece by piece."""

from __future__ import annotations

import time
from typing import Final

from snapfs.api import content_pb2 as pb
from snapfs.api.containerd_methods import READ_BLOB
from snapfs.errors import DataLossError, FailedPreconditionError, UnavailableError
from snapfs.remote.channel import Channel

# Asked for in one call: what a reader holds in memory. Larger are hardly faster.
PIECE_BYTES: Final = 1 << 20

# A containerd that restarts answers again after about a second; its containers, and
# so we, live on meanwhile.
_PAUSES_S: Final = (0.1, 0.4, 1.6)


class ContainerdBlobReader:
    """Implements :class:`snapfs.image.source.BlobReader` over the content service.

    Each piece is a call of its own, so that a consumer may take any time, a lost
    connection costs one piece, and nothing is left at the server when it is closed.

    Args:
        channel: To containerd; not closed with the reader.
        digest: Which blob.
        size_bytes: How many bytes containerd has of it.
        offset: Where to begin.
        where: What messages call the source.
    """

    def __init__(
        self, channel: Channel, digest: str, size_bytes: int, offset: int, where: str
    ) -> None:
        self._channel = channel
        self._digest = digest
        self._size_bytes = size_bytes
        self._offset = offset
        self._where = where
        self._piece = memoryview(b"")
        self._is_closed = False

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            UnavailableError: containerd is gone, and did not come back soon.
            NotFoundError: The blob was removed meanwhile.
            DataLossError: containerd answered with other than what was asked for.
            FailedPreconditionError: The reader or its source is closed.
        """
        if self._is_closed:
            raise FailedPreconditionError(f"{self._where}: the reader is closed")
        if size_bytes <= 0:
            return b""
        if not self._piece:
            self._piece = memoryview(self._next_piece())
        taken = bytes(self._piece[:size_bytes])
        self._piece = self._piece[len(taken) :]
        return taken

    def close(self) -> None:
        """Let go of the piece that was not taken; it may be called twice."""
        self._is_closed = True
        self._piece = memoryview(b"")

    def _next_piece(self) -> bytes:
        wanted = min(PIECE_BYTES, self._size_bytes - self._offset)
        if wanted <= 0:
            return b""
        for pause_s in _PAUSES_S:
            try:
                piece = self._call(wanted)
                break
            except UnavailableError:
                time.sleep(pause_s)
        else:
            piece = self._call(wanted)
        self._offset += len(piece)
        return piece

    def _call(self, wanted: int) -> bytes:
        request = pb.ReadContentRequest(
            digest=self._digest, offset=self._offset, size=wanted
        )
        parts: list[bytes] = []
        length = 0
        for response in self._channel.stream(READ_BLOB, request):
            parts.append(response.data)
            length += len(response.data)
            if length > wanted:
                break
        if length != wanted:
            given = "more than" if length > wanted else f"{length} of"
            raise DataLossError(
                f"{self._where}: containerd gave {given} the {wanted} bytes at"
                f" {self._offset} of blob {self._digest}"
            )
        return b"".join(parts)
