"""The log as it is written: appended to shared memory, made anew when it is long.

Each method costs one or two stores into memory, a fraction of a microsecond: as much
as 2 % of a LOOKUP. A record is valid once the word that says where the log ends
includes it, so that a death at any instruction leaves whole records only.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from struct import Struct, pack

from snapfs.fuse.operations.opens import OpensLog
from snapfs.fuse.recovery import records
from snapfs.fuse.recovery.memory import AREA_BYTES, WORD_AREA, WORD_TAIL, area_start
from snapfs.fuse.union.no_log import NoLog
from snapfs.fuse.union.node import COMPLETE, DRESSED, PLAIN, Directory, Node
from snapfs.light_typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from snapfs.fuse.recovery.memory import SharedMemory
    from snapfs.fuse.union.listing import Entry

_NODES: Final[dict[int, Struct]] = {}
"""Head and name of a node, by the length of its name; made when one is first needed."""
_KNOWN_AGAIN: Final = ~(PLAIN | DRESSED | COMPLETE)
"""What is found out again at need is not kept."""
_KIND_SHIFT: Final = 12
_DIRECTORY: Final = stat.S_IFDIR
_LARGEST: Final = 1 << 21
"""No record is longer: a FORGET of all that fits into one message."""
_SLACK_BYTES: Final = 16 << 20
"""The log may be that much longer than what a new one would be, and half of that
again, before it is worth one."""


class NodeLog(NoLog, OpensLog):
    """Appends records.

    Attributes:
        on_long: Called, once, when the log has become long; the caller has a
            checkpoint made when nothing is half done.
    """

    __slots__ = (
        "_end",
        "_limit",
        "_lowers",
        "_memory",
        "_tail",
        "_view",
        "_word",
        "_words",
        "on_long",
    )

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._view = memory.view
        self._words = memory.words
        self.on_long: Callable[[], object] = _nothing
        self._lowers: dict[tuple[int, ...], int] = {(): 0}
        self._use(memory.words[WORD_AREA])

    def _use(self, area: int) -> None:
        self._word = WORD_TAIL + area
        self._tail = self._words[self._word]
        self._end = area_start(area) + AREA_BYTES - _LARGEST
        self._limit = min(self._tail + _SLACK_BYTES, self._end)

    def checkpoint(self, write: Callable[[NodeLog], None]) -> None:
        """Make a new log of what ``write`` appends, which then is the only one.

        Until it is whole the old one stays valid. With the session's lock, while no
        answer is under way: what is written has no ``unique`` any more.
        """
        words = self._memory.words
        old = words[WORD_AREA]
        new = 1 - old
        self._memory.free_area(new)
        self._lowers = {(): 0}
        self._use(new)
        self._limit = self._end
        write(self)
        words[WORD_AREA] = new
        self._memory.free_area(old)
        length = self._tail - area_start(new)
        self._limit = min(self._tail + length + _SLACK_BYTES, self._end)

    def _became_long(self, tail: int) -> None:
        if tail > self._end:
            raise MemoryError("the log of the node table is full")
        self._limit = self._end
        self.on_long()

    def _append(self, record: bytes) -> None:
        tail = self._tail
        end = tail + len(record)
        self._view[tail:end] = record
        self._commit(end)

    def _commit(self, end: int) -> None:
        self._tail = end
        self._words[self._word] = end
        if end > self._limit:
            self._became_long(end)

    # What the table tells.

    def node(self, node: Node) -> None:
        """Note all that a node is now, but for its references and further names."""
        parent = node.parent
        if parent is None:
            return  # the root is made of the layers each time
        lowers = 0
        if node.kind == _DIRECTORY:
            assert isinstance(node, Directory)
            layers = node.lowers
            lowers = self._lowers.get(layers, -1)
            if lowers < 0:
                lowers = self._intern(layers)
        name = node.name
        length = len(name)
        record = _NODES.get(length) or _record_for(length)
        tail = self._tail
        record.pack_into(
            self._view,
            tail,
            records.NODE,
            length,
            node.kind >> _KIND_SHIFT,
            node.layer,
            node.flags & _KNOWN_AGAIN,
            lowers,
            node.nodeid,
            parent.nodeid,
            node.ino,
            name,
        )
        self._tail = tail = tail + record.size
        self._words[self._word] = tail
        if tail > self._limit:
            self._became_long(tail)

    def _intern(self, lowers: tuple[int, ...]) -> int:
        number = self._lowers[lowers] = len(self._lowers)
        head = records.LOWERS_HEAD.pack(records.LOWERS, number, len(lowers))
        self._append(head + pack(f"<{len(lowers)}H", *lowers))
        return number

    def referenced(self, unique: int, nodeid: int) -> None:
        """Note one reference more, which the kernel has by the reply to ``unique``."""
        tail = self._tail
        records.REFERENCE_ALL.pack_into(
            self._view, tail, records.REFERENCE, unique, nodeid
        )
        self._tail = tail = tail + records.REFERENCE_ALL.size
        self._words[self._word] = tail
        if tail > self._limit:
            self._became_long(tail)

    def referenced_many(self, unique: int, nodeids: list[int]) -> None:
        """Note one reference more of each."""
        count = len(nodeids)
        if count:
            head = records.REFERENCES_HEAD.pack(records.REFERENCES, count, unique)
            self._append(head + pack(f"<{count}Q", *nodeids))

    def listed(
        self, unique: int, parent: int, first: int, entries: Sequence[Entry]
    ) -> None:
        """Note new nodes, each with a reference, in one record."""
        count = len(entries)
        if not count:
            return
        _, names, kinds, layers, inos = zip(*entries, strict=True)
        head = records.LISTED_HEAD.pack(records.LISTED, count, unique, parent, first)
        numbers = pack(f"<{count}Q{count}H", *inos, *layers)
        lengths = bytes(map(len, names))
        self._append(b"".join((head, numbers, bytes(kinds), lengths, *names)))

    def forgotten(self, unique: int, records_: bytes | memoryview) -> None:
        """Note references that the kernel has given back."""
        count = len(records_) // records.PAIR.size
        head = records.FORGET_HEAD.pack(records.FORGET, count, unique)
        self._append(head + records_)

    def renumbered(self, former: int, nodeid: int, lookups: int) -> None:
        """Note that a node has got a new number; ``node`` follows."""
        self._append(
            records.RENUMBERED_ALL.pack(records.RENUMBERED, former, nodeid, lookups)
        )

    def alias(self, node: Node, parent: Directory, name: bytes) -> None:
        """Note a further name."""
        self._name(records.ALIAS, node, parent, name)

    def unalias(self, node: Node, parent: Directory, name: bytes) -> None:
        """Note that one of the further names is none any more."""
        self._name(records.UNALIAS, node, parent, name)

    def _name(self, kind: int, node: Node, parent: Directory, name: bytes) -> None:
        head = records.ALIAS_HEAD.pack(kind, len(name), node.nodeid, parent.nodeid)
        self._append(head + name)

    def shared(self, node: Node, upper_ino: int) -> None:
        """Note that names of an upper inode lead to a node."""
        self._append(records.SHARED_ALL.pack(records.SHARED, node.nodeid, upper_ino))

    def lower_paths(self, directory: Directory) -> None:
        """Note where the lowers have a directory."""
        paths = b"\0".join(directory.lower_paths or ())
        head = records.LOWER_PATHS_HEAD
        self._append(
            head.pack(records.LOWER_PATHS, directory.nodeid, len(paths)) + paths
        )

    def data_place(self, nodeid: int, layer: int, path: bytes) -> None:
        """Note where the data of a METACOPY node is."""
        head = records.DATA_PLACE_HEAD
        self._append(head.pack(records.DATA_PLACE, layer, nodeid, len(path)) + path)

    def last_status(self, nodeid: int, status: os.stat_result) -> None:
        """Note what a directory shows when it has been removed."""
        text = repr(status.__reduce__()[1]).encode()
        head = records.STATUS_HEAD
        self._append(head.pack(records.STATUS, nodeid, len(text)) + text)

    def uncapped(self, unique: int, nodeid: int, thread: int) -> None:
        """Note who took the capabilities of a node away; 0: that is over."""
        self._append(
            records.UNCAPPED_ALL.pack(records.UNCAPPED, unique, nodeid, thread)
        )

    # For checkpoints.

    def next_id(self, nodeid: int) -> None:
        """Note which number the next new node gets."""
        self._append(records.NEXT_ALL.pack(records.NEXT, nodeid))

    def count(self, nodeid: int, lookups: int) -> None:
        """Note all references that the kernel has of a node."""
        self._append(records.COUNT_ALL.pack(records.COUNT, nodeid, lookups))

    # What the open files tell.

    def backing(self, nodeid: int, backing: int, *, is_lower: bool) -> None:
        """Note how a node is opened; -1: no more."""
        self._append(
            records.BACKING_ALL.pack(records.BACKING, is_lower, nodeid, backing)
        )

    def opened(self, unique: int, nodeid: int) -> None:
        """Note one open more."""
        self._append(records.OPENED_ALL.pack(records.OPENED, unique, nodeid))

    def released(self, unique: int, nodeid: int) -> None:
        """Note one open less."""
        self._append(records.OPENED_ALL.pack(records.RELEASED, unique, nodeid))

    def opens(self, nodeid: int, count: int) -> None:
        """Note how often a node is open, for a checkpoint."""
        self._append(records.OPENS_ALL.pack(records.OPENS, nodeid, count))

    # Intentions.

    def intend(self, kind: int, *numbers: int) -> None:
        """Note what is about to be done, so that it can be seen whether it was."""
        self._memory.intend(kind, numbers)

    def achieved(self, kind: int) -> None:
        """Note that what was intended is over: done and noted, or given up."""
        self._memory.intend(kind, ())


def _record_for(length: int) -> Struct:
    record = _NODES[length] = Struct(f"{records.NODE_HEAD.format}{length}s")
    return record


def _nothing() -> None:
    return
