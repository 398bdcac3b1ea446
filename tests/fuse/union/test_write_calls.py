"""How many system calls a change of a lower file costs: exactly these."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.union import file_data
from snapfs.syscalls import RENAME_NOREPLACE
from support.counted_calls import system_calls
from support.engine_tree import EngineTree
from support.written_unions import Sandbox, build

pytestmark = pytest.mark.root

FILE = 0o100644
COPY_UP = [
    *("open", "fstat", "listxattr"),  # the lower file
    *("open", "pread", "pwrite"),  # the copy, without a name
    *("name_to_handle_at", "setxattr", "fchmod", "ioctl", "utime"),
]
NAME = ["fstat", "link_descriptor", "utime"]  # the directory keeps its times
"""What gives the copy its name."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineTree]:
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    build(
        sandbox.lowers[0],
        [(f"dir/{name}", "f", b"x" * 4096) for name in ("first", "file", "gone")],
    )
    with sandbox.engine(is_volatile=True) as engine:
        engine.chmod("dir/first", 0o600)  # the directory is there, and marked
        engine.create("dir/second")  # and known to have no ACL
        yield engine


def test_a_copy_up_for_a_write(engine: EngineTree) -> None:
    node = engine.node("dir/file")

    with system_calls() as made:
        engine.changes.data.write(node, 0, b"changed")

    assert made == [*COPY_UP, *NAME, "close", "pwrite"]


@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_copy_up_that_is_synced(
    engine: EngineTree, monkeypatch: pytest.MonkeyPatch, *, is_ordered: bool
) -> None:
    upper = engine.union.stack.upper
    assert upper is not None
    upper.is_in_memory = False
    settler = file_data.Settler(upper, is_volatile=False)
    monkeypatch.setattr(file_data, "has_ordered_journal", lambda _layer: is_ordered)
    engine.changes.copy_up.settler = settler
    node = engine.node("dir/file")

    with system_calls() as made:
        engine.changes.data.write(node, 0, b"changed")

    sync = "write_out" if is_ordered else "fsync"
    assert made == [*COPY_UP, sync, *NAME, "close", "pwrite"]


def test_a_copy_up_for_a_rename(engine: EngineTree) -> None:
    directory, name = engine.place("dir/file")
    engine.node("dir/file")
    assert engine.union.lookup(directory, b"new") is None  # as the kernel asks first

    with system_calls() as made:
        engine.changes.rename(directory, name, directory, b"new")

    assert made == [*COPY_UP, *NAME, "close", "renameat2"]


def test_a_rename_to_a_name_that_was_free(engine: EngineTree) -> None:
    directory, name = engine.place("dir/file")
    assert engine.union.lookup(directory, b"new") is None
    engine.create("dir/new")
    node = engine.node("dir/new")
    engine.union.nodes.forget(node.nodeid, node.lookups)

    with pytest.raises(FileExistsError):
        engine.changes.rename(directory, name, directory, b"new", RENAME_NOREPLACE)


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_new_file_over_a_whiteout(engine: EngineTree, *, is_listed: bool) -> None:
    directory, name = engine.place("dir/gone")
    engine.unlink("dir/gone")
    if is_listed:  # then no lookup sees the whiteout
        engine.union.listing(directory)
    assert engine.union.lookup(directory, name) is None

    with system_calls() as made:
        engine.changes.make_node(directory, name, FILE, 0, engine.caller)

    # The whiteout, the directory's group; what takes its place; its status.
    assert made == ["stat", "fstat", "open", "rename", "fstat"]


def test_a_new_file_where_nothing_is(engine: EngineTree) -> None:
    directory, _ = engine.place("dir/gone")

    with system_calls() as made:
        engine.changes.make_node(directory, b"new", FILE, 0, engine.caller)

    assert made == ["open", "fstat"]


def test_a_whiteout_that_has_gone_is_not_missed(engine: EngineTree) -> None:
    directory, name = engine.place("dir/gone")
    engine.unlink("dir/gone")
    os.unlink(name, dir_fd=engine.union.directory_fd(directory, 0))

    made = engine.changes.make_directory(directory, name, 0o755, engine.caller)

    assert engine.union.lookup(directory, name) is made
