"""The log of a node table: what it comes to is the table, wherever it ends."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs.fuse.recovery import SharedMemory, node_log
from snapfs.fuse.recovery.fold import Folded
from snapfs.fuse.recovery.memory import WORD_AREA
from snapfs.fuse.recovery.node_log import NodeLog
from snapfs.fuse.recovery.records import PAIR
from snapfs.fuse.recovery.restore import restore_nodes, write_all
from snapfs.fuse.union.layers import LayerStack, open_lower, open_upper
from snapfs.fuse.union.listing import Entry
from snapfs.fuse.union.node import DETACHED, PINNED, Directory, Node
from snapfs.fuse.union.table import NodeTable
from snapfs.fuse.union.union import Union

Described = dict[int, object]


@contextmanager
def _union(tmp_path: Path) -> Iterator[Union]:
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir(exist_ok=True)
    upper = open_upper(os.fsencode(tmp_path / "upper"))
    union = Union(
        LayerStack(upper, None, [open_lower(os.fsencode(tmp_path / "lower"))])
    )
    yield union
    union.close()


@pytest.fixture
def union(tmp_path: Path) -> Iterator[Union]:
    """A union without files; nodes need none."""
    with _union(tmp_path) as made:
        yield made


@pytest.fixture
def memory() -> SharedMemory:
    """Shared memory with an empty log."""
    return SharedMemory()


def _described(nodes: NodeTable, known: Collection[int]) -> Described:
    """Return all that a table holds, without objects; of children the ``known``."""
    found: Described = {}
    for node in nodes.all():
        assert nodes.get(node.nodeid) is node
        directory: object = None
        if isinstance(node, Directory):
            children = [
                (name, child.nodeid)
                for name, child in node.children.items()
                if child.nodeid in known
            ]
            layers = (node.lowers, node.has_upper, node.lower_paths)
            directory = (layers, sorted(children))
        found[node.nodeid] = (
            (node.kind, node.name, node.layer, node.ino, node.lookups, node.flags),
            node.parent and node.parent.nodeid,
            directory,
            sorted((p.nodeid, name) for p, name in nodes.aliases.get(node.nodeid, ())),
            nodes.upper_ino(node),
        )
    for former, count in nodes.former.items():
        present = nodes.get(former)
        assert present is not None
        found[-former] = (present.nodeid, count)
    return found


def _restored(
    tmp_path: Path,
    memory: SharedMemory,
    unanswered: set[int],
    known: Collection[int] = frozenset(),
) -> Described:
    with _union(tmp_path) as other:
        restore_nodes(other, Folded(memory.log_view(), unanswered))
        return _described(other.nodes, known)


class Changer:
    """Makes random changes to a table, as the operations of a mount do."""

    def __init__(self, union: Union, seed: int) -> None:
        self.nodes = union.nodes
        self._shared = union.shared
        self._choices = random.Random(seed)
        self._unique = 0

    def change(self) -> None:
        """Make one change."""
        self._unique += 2
        self._choices.choice(
            (
                *(self._add, self._add, self._refer, self._forget, self._detach),
                *(self._move, self._alias, self._renumber, self._flag, self._list),
                self._list_new,
            )
        )()

    def _directory(self) -> Directory:
        return self._choices.choice(
            [node for node in self.nodes.all() if isinstance(node, Directory)]
        )

    def _file(self) -> Node | None:
        files = [
            node
            for node in self.nodes.all()
            if not isinstance(node, Directory) and not node.flags & DETACHED
        ]
        return self._choices.choice(files) if files else None

    def _name(self) -> bytes:
        return self._choices.randbytes(self._choices.choice((1, 5, 255))).replace(
            b"\0", b"x"
        )

    def _add(self) -> None:
        parent, name = self._directory(), self._name()
        if name in parent.children:
            return
        nodeid, ino = self.nodes.new_id(), self._choices.getrandbits(64)
        if self._choices.random() < 0.4:
            lowers = self._shared(self._choices.choice(((), (1,), (1, 2), (2, 7))))
            paths = self._choices.choice((None, tuple(b"a/b" for _ in lowers) or None))
            directory = Directory(
                nodeid,
                stat.S_IFDIR,
                parent,
                name,
                0,
                ino,
                lowers=lowers,
                has_upper=True,
                lower_paths=paths,
            )
            self.nodes.add(directory)
            if paths is not None:
                self.nodes.log.lower_paths(directory)
            self.nodes.reference(directory, self._unique)
            return
        node = Node(
            nodeid, stat.S_IFREG, parent, name, self._choices.choice((0, 1)), ino
        )
        self.nodes.add(node)
        self.nodes.reference(node, self._unique)

    def _refer(self) -> None:
        node = self._choices.choice(self.nodes.all())
        if node is not self.nodes.root:
            self.nodes.reference(node, self._unique)

    def _list(self) -> None:
        listed = self._but_root()
        for node in listed:
            node.lookups += 1
        self.nodes.log.referenced_many(self._unique, [each.nodeid for each in listed])

    def _list_new(self) -> None:
        parent = self._directory()
        names = {self._name() for _ in range(3)} - parent.children.keys()
        entries = [
            (number, name, stat.S_IFREG >> 12, 1, self._choices.getrandbits(64))
            for number, name in enumerate(names)
        ]
        first = self.nodes.reserve(len(entries))
        self.nodes.add_listed(parent, entries, first, self._unique)

    def _forget(self) -> None:
        known = [(node.nodeid, self._own_references(node)) for node in self._but_root()]
        former = list(self.nodes.former.items())
        forgotten = self._choices.sample(known + former, min(len(known), 3))
        for nodeid, count in forgotten:
            if count:
                given = self._choices.randint(1, count)
                self.nodes.log.forgotten(self._unique, PAIR.pack(nodeid, given))
                self.nodes.forget(nodeid, given)

    def _own_references(self, node: Node) -> int:
        former = self.nodes.former.items()
        return node.lookups - sum(
            count for nodeid, count in former if self.nodes.get(nodeid) is node
        )

    def _but_root(self) -> list[Node]:
        return [node for node in self.nodes.all() if node is not self.nodes.root]

    def _detach(self) -> None:
        node = self._file()
        if node is not None:
            assert node.parent is not None
            if node.layer == 0:
                node.flags |= PINNED
            self.nodes.detach(node, node.parent, node.name)
            if not node.lookups:
                self.nodes.release(node)

    def _move(self) -> None:
        node, parent, name = self._file(), self._directory(), self._name()
        if node is not None and name not in parent.children:
            assert node.parent is not None
            self.nodes.move(node, node.parent, node.name, parent, name)

    def _alias(self) -> None:
        node, parent, name = self._file(), self._directory(), self._name()
        if node is not None and node.lookups and name not in parent.children:
            self.nodes.alias(node, parent, name)
            self.nodes.share(node, self._choices.getrandbits(40))

    def _renumber(self) -> None:
        node = self._file()
        # It is copied up once.
        if node is not None and self._own_references(node) == node.lookups > 0:
            self.nodes.renumber(node)

    def _flag(self) -> None:
        node = self._file()
        if node is not None:
            node.layer = 0
            self.nodes.changed(node)


def _in_use(nodes: NodeTable) -> set[int]:
    """Return the nodes that are referred to, and the directories above them.

    Some of these may be in no table: where a file without a name was.
    """
    kept: set[int] = {1}
    for node in nodes.all():
        names = [(node.parent, node.name), *nodes.aliases.get(node.nodeid, ())]
        waiting = [node, *(parent for parent, _ in names)] if node.lookups else []
        while waiting:
            current = waiting.pop()
            if current is not None and current.nodeid not in kept:
                kept.add(current.nodeid)
                waiting.append(current.parent)
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_a_table_is_restored_as_it_was(
    tmp_path: Path,
    union: Union,
    memory: SharedMemory,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_log, "_SLACK_BYTES", 4096)
    union.nodes.log = log = NodeLog(memory)
    due: list[int] = []
    log.on_long = lambda: due.append(1)
    changer = Changer(union, seed)
    made = 0

    for number in range(600):
        changer.change()
        if due:
            due.clear()
            made += 1
            log.checkpoint(lambda new: write_all(new, union, None))
        if number % 50 == 49:
            in_use = _in_use(union.nodes)
            known = in_use & {node.nodeid for node in union.nodes.all()}
            table = _described(union.nodes, known)
            found = _restored(tmp_path, memory, set(), known)
            assert set(found) <= set(table) | in_use
            for nodeid, described in table.items():
                # The kernel does not know the root's children that nobody refers to.
                if nodeid in in_use - {1} or nodeid < 0:
                    assert found[nodeid] == described

    assert made > 2


def test_references_of_an_answer_that_was_not_given_do_not_count(
    tmp_path: Path, union: Union, memory: SharedMemory
) -> None:
    union.nodes.log = NodeLog(memory)
    node = Node(2, stat.S_IFREG, union.nodes.root, b"file", 1, 77)
    union.nodes.add(node)
    union.nodes.reference(node, 100)
    union.nodes.reference(node, 102 | 1 << 63)
    union.nodes.log.referenced_many(104, [2, 2])

    def references(unanswered: set[int]) -> int:
        return Folded(memory.log_view(), unanswered).nodes[2].references

    assert [references({100}), references({102}), references({104})] == [3, 3, 2]
    assert _restored(tmp_path, memory, {100, 102, 104}).keys() == {1}


def test_nodes_of_a_listing_that_was_not_given_are_none(
    tmp_path: Path, union: Union, memory: SharedMemory
) -> None:
    union.nodes.log = NodeLog(memory)
    root = union.nodes.root
    regular, link = stat.S_IFREG >> 12, stat.S_IFLNK >> 12
    listings: dict[int, list[Entry]] = {
        100: [(1, b"a", regular, 1, 7), (2, b"n" * 255, link, 2, 1 << 63)],
        102: [(3, b"c", regular, 1, 9)],
        104: [],
    }
    firsts: dict[int, int] = {}

    for unique, entries in listings.items():
        firsts[unique] = union.nodes.reserve(len(entries))
        union.nodes.add_listed(root, entries, firsts[unique], unique)

    given = {firsts[100], firsts[100] + 1}
    restored = _restored(tmp_path, memory, {102}, given)
    table = _described(union.nodes, given)
    del table[firsts[102]]
    assert restored == table
    with _union(tmp_path) as other:
        restore_nodes(other, Folded(memory.log_view(), {102}))
        assert other.nodes.next_id == union.nodes.next_id


def test_a_record_that_was_not_finished_is_none(
    tmp_path: Path, union: Union, memory: SharedMemory
) -> None:
    union.nodes.log = NodeLog(memory)
    node = Node(2, stat.S_IFREG, union.nodes.root, b"file", 1, 77)
    union.nodes.add(node)
    end = memory.words[2]
    union.nodes.reference(node, 100)

    memory.words[2] = end  # as a death before the last store leaves it

    assert _restored(tmp_path, memory, set()).keys() == {1}


def test_a_death_in_a_checkpoint_leaves_the_old_log(
    tmp_path: Path, union: Union, memory: SharedMemory
) -> None:
    union.nodes.log = log = NodeLog(memory)
    node = Node(2, stat.S_IFREG, union.nodes.root, b"file", 1, 77)
    union.nodes.add(node)
    union.nodes.reference(node, 100)

    def die(new: NodeLog) -> None:
        new.next_id(77)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.checkpoint(die)

    assert memory.words[WORD_AREA] == 0
    assert _restored(tmp_path, memory, set()).keys() == {1, 2}


def test_a_checkpoint_gives_memory_back(union: Union, memory: SharedMemory) -> None:
    union.nodes.log = log = NodeLog(memory)
    node = Node(2, stat.S_IFREG, union.nodes.root, b"file", 1, 77)
    union.nodes.add(node)
    for unique in range(200_000):
        union.nodes.reference(node, unique)
    before = os.fstat(memory.fd).st_blocks

    log.checkpoint(lambda new: write_all(new, union, None))

    assert os.fstat(memory.fd).st_blocks * 512 < 100_000 < before * 512
    assert Folded(memory.log_view()).nodes[2].references == 200_000


def test_numbers_are_not_used_again(
    tmp_path: Path, union: Union, memory: SharedMemory
) -> None:
    union.nodes.log = log = NodeLog(memory)
    node = Node(union.nodes.new_id(), stat.S_IFREG, union.nodes.root, b"f", 1, 77)
    union.nodes.add(node)
    union.nodes.release(node)
    log.checkpoint(lambda new: write_all(new, union, None))

    with _union(tmp_path) as other:
        restore_nodes(other, Folded(memory.log_view()))
        assert other.nodes.new_id() > node.nodeid
