"""One request of the kernel, and what a handler may answer.

The main loop fills one and the same :class:`Request` again and again: what it holds
is valid until the handler returns. Work that goes on afterwards asks for a copy with
:meth:`Request.keep`, which takes the buffer away from the loop instead of copying a
large body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snapfs.fuse.wire import OPCODE_COUNT
from snapfs.fuse.wire.structs import IN_HEADER
from snapfs.light_typing import Final, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview

# Below this a copy is cheaper than a second buffer of a mebibyte.
_COPIED_BYTES: Final = 16 << 10
# Buffers that wait for the next large request; more are freed.
_SPARE_BUFFERS: Final = 4


class Buffers:
    """The buffer that the loop reads into, and spare ones of the same size.

    ``vector`` is what ``os.readv`` takes; its one item is the current buffer.
    """

    __slots__ = ("_size", "_spare", "vector")

    def __init__(self, size: int) -> None:
        self._size = size
        self._spare: list[memoryview] = []
        self.vector = [memoryview(bytearray(size))]

    def take(self) -> memoryview:
        """Give the current buffer away and put another in its place."""
        taken = self.vector[0]
        try:
            spare = self._spare.pop()
        except IndexError:
            spare = memoryview(bytearray(self._size))
        self.vector = [spare]
        return taken

    def give_back(self, buffer: memoryview) -> None:
        """Keep ``buffer`` for a later :meth:`take`; from any thread."""
        if len(self._spare) < _SPARE_BUFFERS:
            self._spare.append(buffer)

    def shrink(self) -> None:
        """Free the spare buffers."""
        self._spare.clear()


class Request:
    """A message of the kernel.

    Attributes:
        opcode: The operation.
        unique: Names the request in its reply; bit 63 is set when it was resent.
        nodeid: The object that it is about.
        uid: The caller's filesystem user id.
        gid: The caller's filesystem group id.
        pid: The caller's thread id; 0 for one that our PID namespace does not show,
            and for write-back.
        body: What follows the header, without the extensions.
        extensions: ``fuse_ext_header`` records; None if there are none.
    """

    __slots__ = (
        "_buffers",
        "body",
        "extensions",
        "gid",
        "nodeid",
        "opcode",
        "pid",
        "uid",
        "unique",
    )

    def __init__(self, buffers: Buffers | None = None) -> None:
        self._buffers = buffers
        self.opcode = 0
        self.unique = 0
        self.nodeid = 0
        self.uid = 0
        self.gid = 0
        self.pid = 0
        self.body = memoryview(b"")
        self.extensions: memoryview | None = None

    def fill(self, message: memoryview) -> None:
        """Take in a whole message, header and all."""
        (
            _,
            self.opcode,
            self.unique,
            self.nodeid,
            self.uid,
            self.gid,
            self.pid,
            extended,
        ) = IN_HEADER.unpack_from(message)
        end = len(message) - 8 * extended
        if self.opcode >= OPCODE_COUNT:
            self.opcode = 0
        self.body = message[IN_HEADER.size : end]
        self.extensions = message[end:] if extended else None

    def keep(self) -> Request:
        """Return a copy that stays valid as long as it is referred to.

        The body of a large request is not copied: the buffer goes along, and is used
        again when the copy is gone. So a slice of ``body`` must not outlive the copy.
        """
        kept = _KeptRequest()
        kept.opcode = self.opcode
        kept.unique = self.unique
        kept.nodeid = self.nodeid
        kept.uid = self.uid
        kept.gid = self.gid
        kept.pid = self.pid
        buffers = self._buffers
        if (
            len(self.body) > _COPIED_BYTES
            and buffers is not None
            # A second copy of one request: its buffer is gone already.
            and self.body.obj is buffers.vector[0].obj
        ):
            kept.body = self.body
            kept.extensions = self.extensions
            kept.lend(buffers, buffers.take())
        else:
            kept.body = memoryview(bytes(self.body))
            if self.extensions is not None:
                kept.extensions = memoryview(bytes(self.extensions))
        return kept


class _KeptRequest(Request):
    """A request that owns its body, and gives its buffer back at its end."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        super().__init__()
        self._buffer: memoryview | None = None

    def lend(self, buffers: Buffers, buffer: memoryview) -> None:
        self._buffers = buffers
        self._buffer = buffer

    def __del__(self) -> None:
        if self._buffer is not None and self._buffers is not None:
            self._buffers.give_back(self._buffer)


class Later:
    """The answer of a handler that leaves the work to a worker thread.

    Attributes:
        run: Does the work, without the session's lock; its result is the reply.
        key: Tasks of one key (a node id) run one after another, in order.
        wait: What is called before, in no order, and may hang: it changes nothing,
            so that a caller who is killed meanwhile is answered at once.
    """

    __slots__ = ("key", "run", "wait")

    def __init__(
        self,
        run: Callable[[], Reply],
        key: int,
        wait: Callable[[], object] | None = None,
    ) -> None:
        self.run = run
        self.key = key
        self.wait = wait


Reply: TypeAlias = Buffer | Sequence[Buffer] | int | Later | None
"""A payload, a payload in pieces, ``-errno``, later, or never."""

Handler: TypeAlias = Callable[[Request], Reply]
"""Answers the requests of one opcode; an ``OSError`` it raises is its errno."""
