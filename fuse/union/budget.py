"""How much the upper may grow: counted by who writes it, so that it works everywhere.

What counts is what the objects of upperdir and workdir occupy (``st_blocks``), as
``snapfs usage`` counts it. Growth is counted as it comes. What becomes free is only
noted: where a change would not fit, and something was freed since, all is measured
anew. So a full upper costs a walk now and then, any other nothing but two fstat(2)
for each write.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator

from snapfs.light_typing import Final

_BLOCK: Final = 512  # st_blocks counts in these, stat(2)
_DIRECTORY_BYTES: Final = 4096
"""What a new directory occupies on most filesystems; measured when it matters."""


class Budget:
    """The space of one upper; safe to use from several threads.

    Args:
        limit: In bytes, more than 0.
        tops: ``O_PATH`` or other descriptors of the directories that count.

    Attributes:
        limit: In bytes.
    """

    __slots__ = ("_has_freed", "_lock", "_tops", "_used", "limit")

    def __init__(self, limit: int, tops: tuple[int, ...]) -> None:
        self.limit = limit
        self._tops = tops
        self._lock = threading.Lock()
        self._has_freed = False
        self._used = self._measure()

    @property
    def used(self) -> int:
        """What is occupied, in bytes; more than that after something was freed."""
        return self._used

    def note_freed(self) -> None:
        """Note that something was removed or cut short."""
        self._has_freed = True

    def take_directory(self) -> None:
        """Count a new directory.

        Raises:
            OSError: EDQUOT, there is no room for it.
        """
        self._take(_DIRECTORY_BYTES)

    def take_xattr(self, size: int) -> None:
        """Count an extended attribute, which may replace another.

        Raises:
            OSError: EDQUOT, there is no room for it.
        """
        self._take(size)
        self._has_freed = True

    @contextlib.contextmanager
    def growing(self, fd: int, offset: int, size: int) -> Iterator[None]:
        """Let the block write ``size`` bytes to a file, and count what that took.

        Raises:
            OSError: EDQUOT, there is no room for what of the range is no data yet.
        """
        if self._used + size > self.limit:
            size = min(size, _missing(fd, offset, size))
        self._take(size)
        before = after = os.fstat(fd).st_blocks
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # counted as it was thought to be
                after = os.fstat(fd).st_blocks
            with self._lock:
                self._used += (after - before) * _BLOCK - size
                self._has_freed |= after < before

    def _take(self, size: int) -> None:
        with self._lock:
            if self._used + size > self.limit and size and self._has_freed:
                self._has_freed = False
                self._used = self._measure()
            if self._used + size > self.limit and size:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            self._used += size

    def _measure(self) -> int:
        # Here: mounts without a limit need not load it.
        from snapfs.worker.measuring import measure_tree

        paths = (f"/proc/self/fd/{top}/." for top in self._tops)
        return sum(measure_tree(path).size_bytes for path in paths)


_UNLIMITED: Final = contextlib.nullcontext()


def growing(
    budget: Budget | None, fd: int, offset: int, size: int
) -> contextlib.AbstractContextManager[None]:
    """Return :meth:`Budget.growing` of a budget, nothing where there is none."""
    return _UNLIMITED if budget is None else budget.growing(fd, offset, size)


def _missing(fd: int, offset: int, size: int) -> int:
    """Return how many bytes of a range are not allocated yet, holes among them."""
    end, at, missing = offset + size, offset, 0
    try:
        while at < end:
            data = min(os.lseek(fd, at, os.SEEK_DATA), end)
            missing += data - at
            at = min(os.lseek(fd, data, os.SEEK_HOLE), end) if data < end else end
    except OSError as error:
        if error.errno != errno.ENXIO:  # that is: nothing but a hole up to the end
            raise
        missing += end - at
    return missing
