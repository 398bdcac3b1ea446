"""The log as it is read: what the node table and the open files were at its end."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from struct import iter_unpack, unpack_from

from snapfs.fuse.recovery import records
from snapfs.light_typing import Final

_KIND_SHIFT: Final = 12

Log = memoryview | bytes


class FoldedNode:
    """One node, as far as the log tells.

    Attributes:
        is_known: Whether there was a record of the node itself.
        references: Of the kernel, by all its numbers.
        aliases: Its further names: (nodeid of the parent, name).
        formers: Its former numbers, with the references by each.
    """

    __slots__ = (
        "aliases",
        "data_place",
        "flags",
        "formers",
        "ino",
        "is_known",
        "kind",
        "layer",
        "lower_paths",
        "lowers",
        "name",
        "nodeid",
        "parent",
        "references",
        "status",
        "upper_ino",
    )

    def __init__(self, nodeid: int) -> None:
        self.nodeid = nodeid
        self.is_known = False
        self.references = 0
        self.kind = self.parent = self.layer = self.flags = self.ino = 0
        self.name = b""
        self.lowers: tuple[int, ...] = ()
        self.aliases: set[tuple[int, bytes]] | None = None
        self.formers: dict[int, int] | None = None
        self.upper_ino: int | None = None
        self.lower_paths: tuple[bytes, ...] | None = None
        self.data_place: tuple[int, bytes] | None = None
        self.status: bytes | None = None


class Folded:
    """What a log comes to.

    Attributes:
        nodes: By their present numbers.
        present: The present number of each former one.
        next_id: The number that the next new node gets, at the least.
        opens: How often a number is open.
        backings: (backing id, whether it is a lower file's) of a number.
        last_backing: The id that was registered last.
        uncapped: See :attr:`snapfs.fuse.union.union.Union.uncapped`.

    Args:
        log: What :class:`NodeLog` has written.
        unanswered: Uniques of the requests whose answers the kernel has not got:
            what it would have got by them does not count.
    """

    def __init__(self, log: Log, unanswered: Container[int] = frozenset()) -> None:
        self.nodes: dict[int, FoldedNode] = {}
        self.present: dict[int, int] = {}
        self.next_id = 0
        self.opens: dict[int, int] = {}
        self.backings: dict[int, tuple[int, bool]] = {}
        self.last_backing = 0
        self.uncapped: dict[int, int] = {}
        self._unanswered = unanswered
        self._lowers: dict[int, tuple[int, ...]] = {0: ()}
        self._read(log)

    def _read(self, log: Log) -> None:
        readers: dict[int, Callable[[Log, int], int]] = {
            records.NODE: self._node,
            records.LOWERS: self._lowers_of,
            records.REFERENCE: self._reference,
            records.REFERENCES: self._references,
            records.LISTED: self._listed,
            records.FORGET: self._forget,
            records.COUNT: self._count,
            records.ALIAS: self._alias,
            records.UNALIAS: self._unalias,
            records.SHARED: self._shared,
            records.LOWER_PATHS: self._lower_paths,
            records.DATA_PLACE: self._data_place,
            records.RENUMBERED: self._renumbered,
            records.STATUS: self._status,
            records.NEXT: self._next,
            records.BACKING: self._backing,
            records.OPENED: self._opened,
            records.RELEASED: self._released,
            records.OPENS: self._opens,
            records.UNCAPPED: self._uncapped,
        }
        position, end = 0, len(log)
        while position < end:
            position = readers[log[position]](log, position)

    def _get(self, nodeid: int) -> FoldedNode:
        nodeid = self.present.get(nodeid, nodeid)
        node = self.nodes.get(nodeid)
        if node is None:
            node = self.nodes[nodeid] = FoldedNode(nodeid)
        return node

    def _node(self, log: Log, start: int) -> int:
        head = records.NODE_HEAD
        length: int
        _, length, kind, layer, flags, lowers, nodeid, parent, ino = head.unpack_from(
            log, start
        )
        node = self.nodes.get(nodeid)
        if node is None:
            node = self.nodes[nodeid] = FoldedNode(nodeid)
            if nodeid >= self.next_id:
                self.next_id = nodeid + 1
        node.is_known = True
        node.kind = kind << _KIND_SHIFT
        node.layer = layer
        node.flags = flags
        node.lowers = self._lowers[lowers]
        node.parent = parent
        node.ino = ino
        start += head.size
        node.name = bytes(log[start : start + length])
        return start + length

    def _lowers_of(self, log: Log, start: int) -> int:
        count: int
        _, number, count = records.LOWERS_HEAD.unpack_from(log, start)
        start += records.LOWERS_HEAD.size
        self._lowers[number] = unpack_from(f"<{count}H", log, start)
        return start + 2 * count

    def _reference(self, log: Log, start: int) -> int:
        _, unique, nodeid = records.REFERENCE_ALL.unpack_from(log, start)
        if unique & records.UNIQUE_MASK not in self._unanswered:
            self._get(nodeid).references += 1
        return start + records.REFERENCE_ALL.size

    def _references(self, log: Log, start: int) -> int:
        count: int
        _, count, unique = records.REFERENCES_HEAD.unpack_from(log, start)
        start += records.REFERENCES_HEAD.size
        if unique & records.UNIQUE_MASK not in self._unanswered:
            for nodeid in unpack_from(f"<{count}Q", log, start):
                self._get(nodeid).references += 1
        return start + 8 * count

    def _listed(self, log: Log, start: int) -> int:
        count: int
        _, count, unique, parent, first = records.LISTED_HEAD.unpack_from(log, start)
        start += records.LISTED_HEAD.size
        inos = unpack_from(f"<{count}Q", log, start)
        start += 8 * count
        layers = unpack_from(f"<{count}H", log, start)
        start += 2 * count
        kinds = log[start : start + count]
        lengths = log[start + count : start + 2 * count]
        start += 2 * count
        references = int(unique & records.UNIQUE_MASK not in self._unanswered)
        for number in range(count):
            node = FoldedNode(first + number)
            node.is_known = True
            node.references = references
            node.kind = kinds[number] << _KIND_SHIFT
            node.layer = layers[number]
            node.parent = parent
            node.ino = inos[number]
            node.name = bytes(log[start : start + lengths[number]])
            start += lengths[number]
            self.nodes[node.nodeid] = node
        self.next_id = max(self.next_id, first + count)
        return start

    def _forget(self, log: Log, start: int) -> int:
        count: int
        _, count, _ = records.FORGET_HEAD.unpack_from(log, start)
        start += records.FORGET_HEAD.size
        end = start + count * records.PAIR.size
        for nodeid, references in _pairs(log[start:end]):
            node = self._get(nodeid)
            node.references -= references
            if node.formers is not None and nodeid in node.formers:
                node.formers[nodeid] -= references
        return end

    def _count(self, log: Log, start: int) -> int:
        _, nodeid, references = records.COUNT_ALL.unpack_from(log, start)
        self._get(nodeid).references = references
        return start + records.COUNT_ALL.size

    def _alias(self, log: Log, start: int) -> int:
        node, name, end = self._name(log, start)
        if node.aliases is None:
            node.aliases = set()
        node.aliases.add(name)
        return end

    def _unalias(self, log: Log, start: int) -> int:
        node, name, end = self._name(log, start)
        if node.aliases is not None:
            node.aliases.discard(name)
        return end

    def _name(self, log: Log, start: int) -> tuple[FoldedNode, tuple[int, bytes], int]:
        _, length, nodeid, parent = records.ALIAS_HEAD.unpack_from(log, start)
        start += records.ALIAS_HEAD.size
        end = start + length
        return self._get(nodeid), (parent, bytes(log[start:end])), end

    def _shared(self, log: Log, start: int) -> int:
        _, nodeid, ino = records.SHARED_ALL.unpack_from(log, start)
        self._get(nodeid).upper_ino = ino
        return start + records.SHARED_ALL.size

    def _lower_paths(self, log: Log, start: int) -> int:
        length: int
        _, nodeid, length = records.LOWER_PATHS_HEAD.unpack_from(log, start)
        start += records.LOWER_PATHS_HEAD.size
        paths = bytes(log[start : start + length]).split(b"\0")
        self._get(nodeid).lower_paths = tuple(paths)
        return start + length

    def _data_place(self, log: Log, start: int) -> int:
        length: int
        _, layer, nodeid, length = records.DATA_PLACE_HEAD.unpack_from(log, start)
        start += records.DATA_PLACE_HEAD.size
        path = bytes(log[start : start + length])
        self._get(nodeid).data_place = (layer, path)
        return start + length

    def _renumbered(self, log: Log, start: int) -> int:
        _, former, nodeid, references = records.RENUMBERED_ALL.unpack_from(log, start)
        node = self.nodes.pop(former, None)
        if node is not None:
            node.nodeid = nodeid
            self.nodes[nodeid] = node
            for number in node.formers or ():
                self.present[number] = nodeid
        node = self._get(nodeid)
        if node.formers is None:
            node.formers = {}
        node.formers[former] = references
        self.present[former] = nodeid
        self.next_id = max(self.next_id, nodeid + 1)
        return start + records.RENUMBERED_ALL.size

    def _status(self, log: Log, start: int) -> int:
        length: int
        _, nodeid, length = records.STATUS_HEAD.unpack_from(log, start)
        start += records.STATUS_HEAD.size
        self._get(nodeid).status = bytes(log[start : start + length])
        return start + length

    def _next(self, log: Log, start: int) -> int:
        _, nodeid = records.NEXT_ALL.unpack_from(log, start)
        self.next_id = max(self.next_id, nodeid)
        return start + records.NEXT_ALL.size

    def _uncapped(self, log: Log, start: int) -> int:
        _, unique, nodeid, thread = records.UNCAPPED_ALL.unpack_from(log, start)
        if unique & records.UNIQUE_MASK not in self._unanswered:
            self.uncapped[nodeid] = thread
        return start + records.UNCAPPED_ALL.size

    # Open files: by the numbers under which they are open.

    def _backing(self, log: Log, start: int) -> int:
        _, is_lower, nodeid, backing = records.BACKING_ALL.unpack_from(log, start)
        if backing < 0:
            self.backings.pop(nodeid, None)
            self.opens.pop(nodeid, None)
        else:
            self.backings[nodeid] = (backing, bool(is_lower))
            self.last_backing = backing or self.last_backing
        return start + records.BACKING_ALL.size

    def _opened(self, log: Log, start: int) -> int:
        return self._open_count(log, start, 1)

    def _released(self, log: Log, start: int) -> int:
        return self._open_count(log, start, -1)

    def _open_count(self, log: Log, start: int, change: int) -> int:
        _, unique, nodeid = records.OPENED_ALL.unpack_from(log, start)
        if unique & records.UNIQUE_MASK not in self._unanswered:
            self.opens[nodeid] = self.opens.get(nodeid, 0) + change
        return start + records.OPENED_ALL.size

    def _opens(self, log: Log, start: int) -> int:
        _, nodeid, count = records.OPENS_ALL.unpack_from(log, start)
        self.opens[nodeid] = count
        return start + records.OPENS_ALL.size


def _pairs(raw: memoryview | bytes) -> Iterator[tuple[int, int]]:
    return iter_unpack("<QQ", raw)
