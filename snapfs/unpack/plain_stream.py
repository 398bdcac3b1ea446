"""The plain bytes of a blob: read, hashed, inflated and hashed again, each beside.

Three threads serve the one that writes files: the first reads and verifies, the second
inflates, the third hashes what came out. All let go of the interpreter's lock while
they work, so that two cores are busy with one layer; inflating takes longest, and is
held up by nothing else.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from typing import Final

from snapfs.closing import Closing
from snapfs.compression import Background, open_plain
from snapfs.compression.stored import READ_BYTES
from snapfs.digest import Digest, Hasher
from snapfs.errors import DigestMismatchError, UnsafeLayerError
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader
from snapfs.image.verified import VerifiedReader
from snapfs.layer.limits import Limits
from snapfs.syscalls import keep_freed_memory

# Of a diff ID that nobody has told us: what image configs have everywhere.
_ALGORITHM: Final = "sha256"

# Of stored bytes, each of what decompressors ask for.
_STORED_AHEAD: Final = 8

# Blocks of a mebibyte at most: enough that no stage waits for one large file, and few
# enough to be little memory.
_AHEAD: Final = 16


class PlainStream(Closing):
    """The plain tar of one layer; a context manager that ends its threads.

    Attributes:
        read_s: Time spent reading and hashing stored bytes.
        inflate_s: Time spent decompressing them.
    """

    def __init__(
        self,
        blob: BlobReader,
        descriptor: Descriptor,
        diff_id: Digest | None,
        limits: Limits,
        where: str,
    ) -> None:
        keep_freed_memory()
        self._blob = VerifiedReader(blob, descriptor, where)
        self.read_s = 0.0
        self.inflate_s = 0.0
        self._waited_s = 0.0
        self._stored = Background(self._read, _STORED_AHEAD)
        self._limits = limits
        self._where = where
        try:
            self._plain = open_plain(self, zstd_window_bytes=limits.zstd_window_bytes)
        except BaseException:  # nobody gets a stream to close
            self._stored.close()
            self._blob.close()
            raise
        self._diff_id = diff_id
        self._hashing = _Hashing(diff_id.hasher() if diff_id else hashlib.sha256())
        self._ahead = Background(self._inflate, _AHEAD)

    def read(self, size_bytes: int, /) -> bytes:
        """Return further stored bytes, verified; for the decompressor.

        However many it asks for, it gets what was read ahead.
        """
        begun = time.perf_counter()
        try:
            return self._stored.read_block()
        finally:
            self._waited_s += time.perf_counter() - begun

    def read_block(self) -> bytes:
        """Return the next plain bytes; b"" at the end. For the tar's reader.

        Raises:
            DataLossError: The blob is damaged, or not the one that was asked for.
            UnsafeLayerError: It grows beyond the limits.
        """
        block = self._ahead.read_block()
        if block:
            self._hashing.update(block)
        return block

    @property
    def stored_bytes(self) -> int:
        """How many stored bytes were taken."""
        return self._plain.stored_bytes

    @property
    def hash_s(self) -> float:
        """Time spent hashing plain bytes; final after :meth:`verify`."""
        return self._hashing.busy_s

    def verify(self) -> Digest:
        """Check the whole stream, which was read to its end; return its diff ID.

        Raises:
            DigestMismatchError: The plain tar is not the one of the diff ID.
            DataLossError: The blob has more than its compressed content.
        """
        self._stored.close()  # nobody else reads from here on
        self._blob.finish()
        wanted = self._diff_id
        algorithm = wanted.algorithm if wanted else _ALGORITHM
        found = Digest(f"{algorithm}:{self._hashing.finish()}")
        if wanted is not None and found != wanted:
            raise DigestMismatchError(
                f"{self._where}: the plain tar has the diff ID {found}; the image's"
                f" config promises {wanted}"
            )
        return found

    def close(self) -> None:
        """End the threads and close the blob."""
        self._stored.close()  # the next one waits for it
        self._ahead.close()
        self._hashing.close()
        self._plain.close()
        self._blob.close()

    def _read(self) -> bytes:
        begun = time.perf_counter()
        piece = self._blob.read(READ_BYTES)
        self.read_s += time.perf_counter() - begun
        return piece

    def _inflate(self) -> bytes:
        begun, waited_before_s = time.perf_counter(), self._waited_s
        block = self._plain.read_block()
        waited_s = self._waited_s - waited_before_s
        self.inflate_s += time.perf_counter() - begun - waited_s
        plain_bytes, limits = self._plain.plain_bytes, self._limits
        if plain_bytes > limits.plain_bytes:
            raise UnsafeLayerError(
                f"{self._where}: the plain tar has more than {limits.plain_bytes} bytes"
            )
        allowed = max(limits.ratio_free_bytes, limits.ratio * self._plain.stored_bytes)
        if plain_bytes > allowed:
            raise UnsafeLayerError(
                f"{self._where}: {self._plain.stored_bytes} stored bytes grow to more"
                f" than {allowed}, {limits.ratio} for each"
            )
        return block


class _Hashing:
    """A thread that hashes blocks."""

    def __init__(self, hasher: Hasher) -> None:
        self.busy_s = 0.0
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._hasher = hasher
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def update(self, block: bytes) -> None:
        """Hash the next block, soon."""
        self._blocks.put(block)

    def finish(self) -> str:
        """Return the hash of all blocks, in hex."""
        self.close()
        return self._hasher.hexdigest()

    def close(self) -> None:
        """End the thread; it may be called twice."""
        if self._thread.is_alive():
            self._blocks.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            begun = time.perf_counter()
            self._hasher.update(block)
            self.busy_s += time.perf_counter() - begun
