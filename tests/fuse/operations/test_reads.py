"""What reading a file costs beside the data: what is asked, and what stays open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.operations import Context
from snapfs.fuse.operations.data import DataOperations
from snapfs.fuse.session import Request
from snapfs.fuse.union.node import Node
from snapfs.fuse.wire import structs
from support.engine_tree import EngineTree
from support.written_unions import Sandbox, build

pytestmark = pytest.mark.root

PAGE = 4096
SHORT, LONG = b"short", b"long"


class Idle:
    """A session none of whose workers has a task."""

    def is_working(self) -> bool:
        return False


class Reads:
    """READ on the engine, as if its layers lay on a disk."""

    def __init__(self, tree: EngineTree) -> None:
        self.tree = tree
        for layer in tree.union.stack.layers:
            layer.is_in_memory = False
        context = Context(tree.union, tree.changes, MountConfig(), is_read_only=False)
        context.attach(Idle())  # type: ignore[arg-type]  # all that READ asks of it
        self._read = DataOperations(context).read

    def find(self, name: bytes) -> Node:
        node = self.tree.union.lookup(self.tree.union.nodes.root, name)
        assert node is not None
        self.tree.union.nodes.reference(node)
        return node

    def read(self, node: Node, offset: int = 0) -> bytes:
        request = Request()
        request.nodeid = node.nodeid
        request.body = memoryview(structs.READ_IN.pack(0, offset, PAGE, 0, 0, 0))
        data = self._read(request)
        assert isinstance(data, (bytes, memoryview))
        return bytes(data)

    def is_open(self, node: Node) -> bool:
        return self.tree.changes.data.has_reader(node)


@pytest.fixture
def reads(tmp_path: Path) -> Iterator[Reads]:
    """A file in the lower that fits into one READ, and one that does not."""
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    build(sandbox.lowers[0], [(SHORT.decode(), "f", b"x" * 100)])
    build(sandbox.lowers[0], [(LONG.decode(), "f", b"y" * (PAGE + 100))])
    for path in sandbox.lowers[0].iterdir():
        path.read_bytes()  # into memory, whatever else the machine does
    with sandbox.engine() as tree:
        yield Reads(tree)


def test_the_length_of_a_lower_file_just_looked_up_is_not_asked_again(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = reads.find(SHORT)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", _never)

        assert reads.read(node) == b"x" * 100


def test_what_became_longer_in_the_upper_is_read_to_its_new_end(reads: Reads) -> None:
    node = reads.find(SHORT)
    reads.read(node)

    reads.tree.changes.data.write(node, 100, b"more")

    assert reads.read(node) == b"x" * 100 + b"more"


def test_a_file_that_one_read_has_shown_whole_does_not_stay_open(reads: Reads) -> None:
    node = reads.find(SHORT)

    reads.read(node)

    assert not reads.is_open(node)
    assert reads.read(node) == b"x" * 100  # it is opened again


def test_a_file_of_which_there_is_more_to_read_stays_open(reads: Reads) -> None:
    node = reads.find(LONG)

    reads.read(node)

    assert reads.is_open(node)
    assert reads.read(node, PAGE) == b"y" * 100


def _never(*_: object) -> None:
    raise AssertionError("it was asked")
