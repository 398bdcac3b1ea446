"""Random operations on one file, compared with a copy of it in memory.

After the idea of fsx, the file system exerciser: whatever path the data takes, through
system calls, mappings or the kernel's own copying, all show one content.
"""

from __future__ import annotations

import collections
import errno
import mmap
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from support.file_content import Content, Span
from support.posix_calls import fallocate

KEEP_SIZE: Final = 0x01
PUNCH_HOLE: Final = 0x02
COLLAPSE_RANGE: Final = 0x08
ZERO_RANGE: Final = 0x10
INSERT_RANGE: Final = 0x20

LARGEST: Final = 400_000
"""No operation lets the file grow beyond; more than the engine writes at once."""
_LENGTHS: Final = (1, 7, 512, 4096, 4097, 20_000, 70_000, 290_000)
_WEIGHTS: Final = (2, 4, 4, 6, 4, 4, 2, 1)
_BLOCK: Final = 4096
_PAGE: Final = mmap.PAGESIZE
_COMPARE_EVERY: Final = 200
_REMEMBERED: Final = 15

CALLS: Final[Mapping[str, Callable[..., object]]] = {
    "pwrite": os.pwrite,
    "ftruncate": os.ftruncate,
    "fallocate": fallocate,
    "copy_file_range": os.copy_file_range,
}
"""The changes; a test replaces one to see that the comparison finds it."""


class MismatchError(AssertionError):
    """The file is not what memory says; tells the seed and the last operations."""


class FileExerciser:
    """Changes a file and its content in memory alike.

    Args:
        path: The file; it may have any content.
        other: A second file, from which ranges are copied; it is only read.
        seed: Decides all operations.
        calls: What changes the file.
    """

    def __init__(
        self,
        path: Path,
        other: Path,
        seed: int,
        calls: Mapping[str, Callable[..., object]] = CALLS,
    ) -> None:
        self._path = path
        self._seed = seed
        self._chosen = random.Random(f"file {seed}")
        self._calls = calls
        self._model = Content(path.read_bytes())
        self._other_content = other.read_bytes()
        self._other = other
        self._done = 0
        self._last: collections.deque[str] = collections.deque(maxlen=_REMEMBERED)
        self._fd = -1
        self._operations: Sequence[tuple[Callable[[], str], int]] = (
            (self._read, 20),
            (self._map_and_read, 10),
            (self._write, 20),
            (self._map_and_write, 10),
            (self._append, 3),
            (self._truncate, 6),
            (self._truncate_by_name, 2),
            (self._punch, 6),
            (self._zero, 6),
            (self._allocate, 4),
            (self._collapse, 2),
            (self._insert, 2),
            (self._copy_within, 6),
            (self._copy_from_other, 6),
            (self._sync, 1),
            (self._open_again, 4),
        )

    def run(self, operations: int) -> None:
        """Do so many operations, and compare.

        Raises:
            MismatchError: Something was read that is not in memory.
            OSError: A call failed that may not.
        """
        ways = [way for way, _ in self._operations]
        weights = [weight for _, weight in self._operations]
        self._fd = os.open(self._path, os.O_RDWR)
        try:
            for way in self._chosen.choices(ways, weights, k=operations):
                self._done += 1
                self._last.append(f"{self._done} {way.__name__[1:]}: ...")
                self._last[-1] = f"{self._done} {way.__name__[1:]}: {way()}"
                size = os.fstat(self._fd).st_size
                if size != len(self._model):
                    raise self._mismatch(f"size {size}, not {len(self._model)}")
                if self._done % _COMPARE_EVERY == 0:
                    self.compare()
        finally:
            os.close(self._fd)
        self.compare()

    def compare(self) -> None:
        """Compare the whole file, opened anew.

        Raises:
            MismatchError: It is not what memory says.
        """
        self._check(0, self._path.read_bytes(), self._model.piece())

    # What is read.

    def _read(self) -> str:
        span = self._span()
        have = os.pread(self._fd, span.length, span.offset)
        self._check(span.offset, have, self._model.piece(span))
        return f"{span}"

    def _map_and_read(self) -> str:
        span = self._inside()
        if span is None:
            return "empty"
        with mmap.mmap(self._fd, 0, mmap.MAP_SHARED, mmap.PROT_READ) as area:
            have = area[span.offset : span.end]
        self._check(span.offset, have, self._model.piece(span))
        return f"{span}"

    # What is written.

    def _write(self) -> str:
        span = self._span()
        return self._put(span.offset, span.length)

    def _append(self) -> str:
        length = min(self._length(), LARGEST - len(self._model))
        return self._put(len(self._model), length)

    def _put(self, offset: int, length: int) -> str:
        data = self._chosen.randbytes(length)
        self._model.put(offset, data)
        written = 0
        while written < length:
            piece = self._calls["pwrite"](self._fd, data[written:], offset + written)
            assert isinstance(piece, int)
            written += piece
        return f"{offset} + {length}"

    def _map_and_write(self) -> str:
        span = self._inside()
        if span is None:
            return "empty"
        data = self._chosen.randbytes(span.length)
        with mmap.mmap(self._fd, span.end, mmap.MAP_SHARED) as area:
            area[span.offset : span.end] = data
            if self._chosen.random() < 0.3:
                area.flush()
        self._model.put(span.offset, data)
        return f"{span}"

    def _truncate(self) -> str:
        size = self._chosen.randrange(LARGEST)
        self._calls["ftruncate"](self._fd, size)
        self._model.cut(size)
        return f"{size}"

    def _truncate_by_name(self) -> str:
        size = self._chosen.choice((0, 1, _BLOCK, len(self._model) // 2))
        os.truncate(self._path, size)
        self._model.cut(size)
        return f"{size}"

    def _punch(self) -> str:
        span = self._span()
        if self._fallocated(PUNCH_HOLE | KEEP_SIZE, span):
            self._model.zero(span)
        return f"{span}"

    def _zero(self) -> str:
        span, keeps = self._span(), self._chosen.random() < 0.5
        if self._fallocated(ZERO_RANGE | (KEEP_SIZE if keeps else 0), span):
            if not keeps:
                self._model.grow(span.end)
            self._model.zero(span)
        return f"{span}, {keeps}"

    def _allocate(self) -> str:
        span, keeps = self._span(), self._chosen.random() < 0.5
        if self._fallocated(KEEP_SIZE if keeps else 0, span) and not keeps:
            self._model.grow(span.end)
        return f"{span}, {keeps}"

    def _collapse(self) -> str:
        span = self._blocks()
        if span.end >= len(self._model):
            return "none"
        if self._fallocated(COLLAPSE_RANGE, span):
            self._model.remove(span)
        return f"{span}"

    def _insert(self) -> str:
        span = self._blocks()
        if span.offset >= len(self._model) or len(self._model) + span.length > LARGEST:
            return "none"
        if self._fallocated(INSERT_RANGE, span):
            self._model.insert(span)
        return f"{span}"

    def _copy_within(self) -> str:
        span = self._inside()
        if span is None:
            return "empty"
        target = self._chosen.randrange(LARGEST - span.length + 1)
        if abs(target - span.offset) < span.length:
            return "overlapping"  # EINVAL
        data = self._model.piece(span)
        return self._copied(self._fd, span, target, data)

    def _copy_from_other(self) -> str:
        size = len(self._other_content)
        offset = self._chosen.randrange(size)
        span = Span(offset, min(self._length(), size - offset))
        target = self._chosen.randrange(LARGEST - span.length + 1)
        data = self._other_content[span.offset : span.end]
        source = os.open(self._other, os.O_RDONLY)
        try:
            return self._copied(source, span, target, data)
        finally:
            os.close(source)

    def _copied(self, source: int, span: Span, target: int, data: bytes) -> str:
        done = 0
        while done < span.length:
            places = (span.length - done, span.offset + done, target + done)
            copied = self._calls["copy_file_range"](source, self._fd, *places)
            assert isinstance(copied, int)
            if not copied:
                raise self._mismatch(f"nothing was copied at {span.offset + done}")
            done += copied
        self._model.put(target, data)
        return f"{span} to {target}"

    # What changes nothing.

    def _sync(self) -> str:
        os.fsync(self._fd)
        return ""

    def _open_again(self) -> str:
        os.close(self._fd)
        self._fd = os.open(self._path, os.O_RDWR)
        return ""

    # Parts.

    def _length(self) -> int:
        return self._chosen.choices(_LENGTHS, _WEIGHTS)[0]

    def _span(self) -> Span:
        """Return a range that may reach beyond the end, or lie there."""
        length = self._length()
        return Span(self._chosen.randrange(LARGEST - length + 1), length)

    def _inside(self) -> Span | None:
        """Return a range of what there is."""
        if not len(self._model):
            return None
        offset = self._chosen.randrange(len(self._model))
        return Span(offset, min(self._length(), len(self._model) - offset))

    def _blocks(self) -> Span:
        blocks = LARGEST // _BLOCK
        return Span(
            self._chosen.randrange(blocks) * _BLOCK,
            self._chosen.randrange(1, 9) * _BLOCK,
        )

    def _fallocated(self, mode: int, span: Span) -> bool:
        """Call fallocate(2); tell whether the filesystem has that mode."""
        try:
            self._calls["fallocate"](self._fd, mode, span.offset, span.length)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return False
        return True

    def _check(self, offset: int, have: bytes, want: bytes) -> None:
        if have == want:
            return
        if len(have) != len(want):
            raise self._mismatch(f"{len(have)} bytes at {offset}, not {len(want)}")
        first = next(i for i in range(len(want)) if have[i] != want[i])
        raise self._mismatch(
            f"from {offset + first} on {have[first : first + 8].hex()}, "
            f"not {want[first : first + 8].hex()}"
        )

    def _mismatch(self, what: str) -> MismatchError:
        lines = [f"seed {self._seed}: after {self._done} operations: {what}"]
        return MismatchError("\n  ".join([*lines, *self._last]))
