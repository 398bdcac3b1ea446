"""One blob, written in one pass: compressed, hashed and counted on several threads.

The caller fills a block; full blocks go to three places at once: a thread that hashes
the plain bytes, threads that compress, and, in their order again, one that hashes and
writes what is stored. All of it lets go of the interpreter lock.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from snapfs.closing import Closing
from snapfs.compression.compressor import (
    PLAIN_BLOCK_BYTES,
    WINDOW_BYTES,
    Compressor,
)
from snapfs.digest import Digest

# Blocks under way for each compressing thread, so that none waits for another.
_AHEAD: Final = 3


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """What was written.

    Attributes:
        digest: Of the stored bytes.
        size_bytes: Of these.
        diff_id: The digest of the plain bytes.
        plain_bytes: How many these are.
        compressor: What made the stored bytes of them.
    """

    digest: Digest
    size_bytes: int
    diff_id: Digest
    plain_bytes: int
    compressor: str


class BlobWriter(Closing):
    """Takes plain bytes, gives stored ones to ``write``; a context manager.

    Args:
        write: Takes stored bytes, in order, on a thread of this object.
        compressor: New; this object's from here on.
        threads: That compress, 1 at least. They do not change the bytes.
    """

    def __init__(
        self, write: Callable[[bytes], object], compressor: Compressor, threads: int
    ) -> None:
        self._write = write
        self._compressor = compressor
        workers = threads if compressor.is_parallel else 1
        self._compressing = ThreadPoolExecutor(workers, "compress")
        self._hashing = ThreadPoolExecutor(1, "hash")
        self._storing = ThreadPoolExecutor(1, "store")
        self._room = threading.Semaphore(workers * _AHEAD)
        self._failure: BaseException | None = None
        self._plain_hash = hashlib.sha256(usedforsecurity=False)
        self._stored_hash = hashlib.sha256(usedforsecurity=False)
        self._stored_bytes = 0
        self._plain_bytes = 0
        self._before = b""
        self._block = memoryview(bytearray(PLAIN_BLOCK_BYTES))
        self._at = 0
        self._store(compressor.begin())

    @property
    def plain_bytes(self) -> int:
        """How many plain bytes were taken in."""
        return self._plain_bytes + self._at

    def write(self, data: bytes | memoryview) -> None:
        """Take in plain bytes.

        Raises:
            BaseException: What ``write`` of the stored bytes raised.
        """
        end = self._at + len(data)
        if end <= PLAIN_BLOCK_BYTES:  # most are headers
            self._block[self._at : end] = data
            self._at = end
            return
        view = memoryview(data)
        while view:
            free = self._free()
            piece = view[: len(free)]
            free[: len(piece)] = piece
            self._at += len(piece)
            view = view[len(piece) :]

    def read_from(self, fd: int, size_bytes: int) -> int:
        """Take in bytes of a file from where it is; return how many it had.

        Raises:
            OSError: From reading.
            BaseException: What ``write`` of the stored bytes raised.
        """
        left = size_bytes
        while left and (got := os.readv(fd, [self._free()[:left]])):
            self._at += got
            left -= got
        return size_bytes - left

    def write_zeros(self, size_bytes: int) -> None:
        """Take in zeros.

        Raises:
            BaseException: What ``write`` of the stored bytes raised.
        """
        left = size_bytes
        while left:
            free = self._free()[:left]
            free[:] = bytes(len(free))
            self._at += len(free)
            left -= len(free)

    def finish(self) -> WrittenBlob:
        """Write the rest; return what came of it.

        Raises:
            BaseException: What ``write`` of the stored bytes raised.
        """
        self._hand_over(is_last=True)
        for pool in (self._compressing, self._hashing, self._storing):
            pool.shutdown(wait=True)
        self._check()
        self._store(self._compressor.end())
        return WrittenBlob(
            Digest(f"sha256:{self._stored_hash.hexdigest()}"),
            self._stored_bytes,
            Digest(f"sha256:{self._plain_hash.hexdigest()}"),
            self._plain_bytes,
            self._compressor.description,
        )

    def close(self) -> None:
        """End the threads; without :meth:`finish` before, the blob is incomplete."""
        for pool in (self._compressing, self._hashing, self._storing):
            pool.shutdown(wait=True, cancel_futures=True)

    def _free(self) -> memoryview:
        """Return the part of the block that is to be filled, never empty.

        A full block is handed over only here: until more comes it may be the last.
        """
        if self._at == PLAIN_BLOCK_BYTES:
            self._hand_over(is_last=False)
            self._block = memoryview(bytearray(PLAIN_BLOCK_BYTES))
        return self._block[self._at :]

    def _hand_over(self, *, is_last: bool) -> None:
        self._room.acquire()
        self._check()
        data = self._block[: self._at]
        self._plain_bytes += self._at
        self._at = 0
        compressed = self._compressing.submit(
            self._compressor.block, data, self._before, is_last=is_last
        )
        hashed = self._hashing.submit(self._plain_hash.update, data)
        self._storing.submit(self._store_block, data, compressed, hashed)
        self._before = bytes(data[-WINDOW_BYTES:])

    def _store_block(
        self, data: memoryview, compressed: Future[bytes], hashed: Future[None]
    ) -> None:
        try:
            if self._failure is None:
                self._compressor.passed(data)
                self._store(compressed.result())
                hashed.result()
        except BaseException as error:  # noqa: BLE001 - raised where blocks come from
            self._failure = error
        finally:
            self._room.release()

    def _store(self, stored: bytes) -> None:
        if stored:
            self._stored_hash.update(stored)
            self._stored_bytes += len(stored)
            self._write(stored)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
