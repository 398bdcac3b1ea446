"""A large blob over several connections, delivered in order, in bounded memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from snapfs.errors import SnapfsError, UnavailableError
from snapfs.image.registry.ranges import RangeReader

_PIECE: Final = 256 << 10


class Prefetcher:
    """Threads that load ranges ahead of their readers, for all blobs of a source.

    At most ``connections`` ranges of ``range_bytes`` are loaded or waiting to be
    read at any time, over all blobs together: that bounds the memory. A reader
    that gets none of them reads on its own connection, so none waits for another.
    """

    def __init__(self, connections: int, range_bytes: int) -> None:
        self.range_bytes = range_bytes
        self._slots = threading.BoundedSemaphore(max(connections, 1))
        self._threads = ThreadPoolExecutor(max(connections, 1), "snapfs-registry")

    def load(self, reader: RangeReader, size_bytes: int) -> Ahead | None:
        """Begin to load what ``reader`` has; None if all slots are taken."""
        if not self._slots.acquire(blocking=False):
            return None
        try:
            content = self._threads.submit(_load, reader, size_bytes)
        except RuntimeError as error:  # it is shut down
            self._slots.release()
            raise UnavailableError("the registry's source was closed") from error
        return Ahead(reader, content)

    def release(self, ahead: Ahead) -> None:
        """Give a slot back: its content is read, or is not wanted any more."""
        if not ahead.content.cancel():
            ahead.reader.close()
        # The slot is free when the memory is: a cancelled one has none.
        ahead.content.add_done_callback(lambda _: self._slots.release())

    def close(self) -> None:
        """Let no more ranges begin."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A range that is being loaded, and will be its bytes."""

    reader: RangeReader
    content: Future[bytearray]


def _load(reader: RangeReader, size_bytes: int) -> bytearray:
    content = bytearray()
    try:
        while piece := reader.read(_PIECE):
            content += piece
    finally:
        reader.close()
    if len(content) != size_bytes:
        raise AssertionError("a range reader delivers its whole range")
    return content


class ParallelReader:
    """A blob's bytes in order, ranges of it loaded ahead; a BlobReader.

    Args:
        first: Reads from ``start`` to ``first_end``, in the caller's own thread.
        make_reader: Returns a reader of the bytes between two offsets.
        end: Where the blob ends.
    """

    def __init__(
        self,
        first: RangeReader,
        first_end: int,
        end: int,
        make_reader: Callable[[int, int], RangeReader],
        prefetcher: Prefetcher,
    ) -> None:
        self._make_reader = make_reader
        self._prefetcher = prefetcher
        self._end = end
        self._next = first_end
        self._direct: RangeReader | None = first
        self._pending: deque[Ahead] = deque()
        self._loaded: Ahead | None = None
        self._view = memoryview(b"")
        self._failure: SnapfsError | None = None
        self._load_ahead()

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            SnapfsError: As the range's reader says.
        """
        if self._failure is not None:
            raise self._failure  # what comes next in the blob is not known
        while size_bytes > 0:
            if self._view:
                piece = bytes(self._view[:size_bytes])
                self._view = self._view[len(piece) :]
                return piece
            if self._direct is not None and (piece := self._direct.read(size_bytes)):
                return piece
            if not self._advance():
                break
        return b""

    def close(self) -> None:
        """Stop loading; what was loaded ahead is dropped."""
        self._end = self._next
        self._let_go()
        while self._pending:
            self._prefetcher.release(self._pending.popleft())

    def _advance(self) -> bool:
        """Go on to the next range; return whether there is one."""
        self._let_go()
        if self._pending:
            self._loaded = self._pending.popleft()
            self._view = self._result(self._loaded)
            self._load_ahead()
            return True
        if self._next == self._end:
            return False
        start, stop = self._next, self._stop()
        self._direct = self._make_reader(start, stop)
        self._next = stop
        self._load_ahead()
        return True

    def _result(self, loaded: Ahead) -> memoryview:
        try:
            return memoryview(loaded.content.result())
        except CancelledError:
            self._failure = UnavailableError("the registry's source was closed")
        except SnapfsError as error:
            self._failure = error
        self.close()
        raise self._failure

    def _load_ahead(self) -> None:
        while self._next < self._end:
            start, stop = self._next, self._stop()
            ahead = self._prefetcher.load(self._make_reader(start, stop), stop - start)
            if ahead is None:
                return
            self._pending.append(ahead)
            self._next = stop

    def _stop(self) -> int:
        return min(self._next + self._prefetcher.range_bytes, self._end)

    def _let_go(self) -> None:
        self._view = memoryview(b"")
        if self._loaded is not None:
            self._prefetcher.release(self._loaded)
            self._loaded = None
        if self._direct is not None:
            self._direct.close()
            self._direct = None
