"""Memory that a server and its keeper share, and that the next server finds.

A memfd, mapped before the first server is forked. It is large and nearly all of it is
never touched, so that it takes what is written to it and no more:

======== ==================== ====================================================
offset   what                 who writes it
======== ==================== ====================================================
0        words (``WORD_*``)   each a store of its own, which a death cannot tear
2 KiB    intentions           the server, see ``NoLog.intend``
8 KiB    the last words       the server that died, or its keeper
1 MiB    buffers of requests  the kernel, by the server's read(2)
64 MiB   the log, twice       the server: one of two areas is the valid one
======== ==================== ====================================================
"""

from __future__ import annotations

import errno
import mmap
import os

from snapfs.file_syscalls import fallocate
from snapfs.light_typing import Final

FORMAT: Final = 0x736E617066730003
"""What the memory holds, "snapfs" and a number; a server that knows another refuses."""

WORD_FORMAT: Final = 0
WORD_AREA: Final = 1
"""Which of the two areas of the log is valid."""
WORD_TAIL: Final = 2
"""Where the first area of the log ends; the next word: the second one."""
WORD_BUFFER: Final = 4
"""1 + the number of the buffer that requests are read into; 0: none of these."""
WORD_RESTARTS: Final = 5
WORD_IS_SERVING: Final = 6
"""Whether the present server has taken over, or has answered at least."""
WORD_SUSPECT: Final = 7
"""The request that was being handled when a server died; the next word: how often."""
WORD_DIED_AT: Final = 9
"""When the last server died, in seconds since 1970."""
WORD_KEEPER: Final = 10
"""The process that starts servers."""

BUFFERS: Final = 16

_WORDS: Final = 512
_WORD_INTENTIONS: Final = 256
_INTENTION_WORDS: Final = 8
"""One that says how many numbers follow, and is written last."""
_LAST_WORDS: Final = 8 << 10
_LAST_WORDS_END: Final = 64 << 10
_FIRST_BUFFER: Final = 1 << 20
_BUFFER_PITCH: Final = 2 << 20
_FIRST_AREA: Final = 64 << 20
AREA_BYTES: Final = 4 << 30
"""50 million nodes; the address space costs nothing."""
_TOTAL: Final = _FIRST_AREA + 2 * AREA_BYTES
_LENGTH: Final = 8
_MASK: Final = (1 << 64) - 1
_POPULATE_WRITE: Final = 23  # MADV_POPULATE_WRITE
_PUNCH: Final = 3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE


class SharedMemory:
    """The memory of one mount.

    Attributes:
        fd: The memfd.
        words: The first words of it, see ``WORD_*``.
        view: All of it.
    """

    __slots__ = ("_map", "fd", "view", "words")

    def __init__(self, fd: int = -1) -> None:
        """Make new memory, or map that of a descriptor.

        Raises:
            OSError: From memfd_create(2) or mmap(2); EPROTO, it is of another format.
        """
        is_new = fd < 0
        if is_new:
            fd = os.memfd_create("snapfs-fuse", os.MFD_CLOEXEC)
            os.ftruncate(fd, _TOTAL)
        self.fd = fd
        self._map = mmap.mmap(fd, _TOTAL)
        self.view = memoryview(self._map)
        self.words = self.view[: _WORDS * 8].cast("Q")
        if is_new:
            self.words[WORD_FORMAT] = FORMAT
            self.words[WORD_TAIL] = area_start(0)
            self.words[WORD_TAIL + 1] = area_start(1)
        elif self.words[WORD_FORMAT] != FORMAT:
            raise OSError(errno.EPROTO, "the memory of the mount is of another version")

    def close(self) -> None:
        """Unmap and close it; nothing may refer to a part of it any more."""
        self.words.release()
        self.view.release()
        self._map.close()
        os.close(self.fd)

    # The log.

    def log_view(self) -> memoryview:
        """Return what the valid area of the log holds."""
        area = self.words[WORD_AREA]
        return self.view[area_start(area) : self.words[WORD_TAIL + area]]

    def free_area(self, area: int) -> None:
        """Give an area's memory back to the system, and have it empty."""
        self.words[WORD_TAIL + area] = area_start(area)
        fallocate(self.fd, _PUNCH, area_start(area), AREA_BYTES)

    # Buffers of requests.

    def buffer(self, number: int, size: int) -> memoryview:
        """Return a new mapping of a buffer: an object that can be told from others.

        Its pages are there. Into one that is not, a process that is being killed
        copies nothing (``__get_user_pages`` gives up), and the kernel answers the
        request EIO that was to be read (``fuse_dev_do_read``).
        """
        start = _FIRST_BUFFER + number * _BUFFER_PITCH
        mapping = mmap.mmap(self.fd, _BUFFER_PITCH, offset=start)
        try:
            mapping.madvise(_POPULATE_WRITE, 0, size + -size % mmap.PAGESIZE)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: before Linux 5.14
                raise
            for page in range(0, size, mmap.PAGESIZE):
                mapping[page] = mapping[page]
        return memoryview(mapping)[:size]

    def free_buffer(self, number: int) -> None:
        """Give a buffer's memory back to the system."""
        start = _FIRST_BUFFER + number * _BUFFER_PITCH
        fallocate(self.fd, _PUNCH, start, _BUFFER_PITCH)

    def last_request(self, size: int) -> memoryview | None:
        """Return the buffer that was read into last; None: it was not a shared one."""
        number = self.words[WORD_BUFFER]
        return self.buffer(number - 1, size) if number else None

    # What is said of the moment.

    def intend(self, kind: int, numbers: tuple[int, ...]) -> None:
        """Write an intention down; with no numbers: none."""
        word = _WORD_INTENTIONS + kind * _INTENTION_WORDS
        self.words[word] = 0
        for place, number in enumerate(numbers, word + 1):
            self.words[place] = number & _MASK
        self.words[word] = len(numbers)

    def intention(self, kind: int) -> tuple[int, ...]:
        """Return the numbers of an intention; none: there is none."""
        word = _WORD_INTENTIONS + kind * _INTENTION_WORDS
        return tuple(self.words[word + 1 : word + 1 + self.words[word]])

    @property
    def last_words(self) -> str:
        """What is known of the last death, for who has to find its cause."""
        return self._text(_LAST_WORDS).decode(errors="replace")

    @last_words.setter
    def last_words(self, value: str) -> None:
        room = _LAST_WORDS_END - _LAST_WORDS - _LENGTH
        self._set_text(_LAST_WORDS, value.encode(errors="replace")[-room:])

    def _text(self, offset: int) -> bytes:
        start = offset + _LENGTH
        length = int.from_bytes(self.view[offset:start], "little")
        return bytes(self.view[start : start + length])

    def _set_text(self, offset: int, value: bytes) -> None:
        start = offset + _LENGTH
        self.view[offset:start] = bytes(_LENGTH)
        self.view[start : start + len(value)] = value
        self.view[offset:start] = len(value).to_bytes(_LENGTH, "little")


def area_start(area: int) -> int:
    """Return where an area of the log begins."""
    return _FIRST_AREA + area * AREA_BYTES
