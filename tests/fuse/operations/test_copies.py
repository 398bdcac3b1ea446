"""Which changes wait for a worker: those that copy up, and wait for a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.fuse.mount_config import MountConfig
from snapfs.fuse.operations import Context
from snapfs.fuse.union.copy_up import LARGE_FILE
from snapfs.fuse.union.node import Node
from support.written_unions import Sandbox, build

pytestmark = pytest.mark.root

SMALL, LARGE = b"small", b"large"


@pytest.mark.parametrize(
    ("is_in_memory", "is_volatile", "waiting"),
    [
        pytest.param(False, False, [SMALL, LARGE], id="synced-to-a-disk"),
        pytest.param(False, True, [LARGE], id="volatile"),
        pytest.param(True, False, [LARGE], id="in-memory"),
    ],
)
def test_a_small_copy_that_waits_for_no_disk_is_made_at_once(
    tmp_path: Path, *, is_in_memory: bool, is_volatile: bool, waiting: list[bytes]
) -> None:
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    build(
        sandbox.lowers[0],
        [("small", "f", b"x" * 100), ("large", "f", bytes(LARGE_FILE)), ("new", "f")],
    )
    config = MountConfig()
    config.is_volatile = is_volatile
    with sandbox.engine() as tree:
        upper = tree.union.stack.upper
        assert upper is not None
        upper.is_in_memory = is_in_memory
        context = Context(tree.union, tree.changes, config, is_read_only=False)

        def node(name: bytes) -> Node:
            found = tree.union.lookup(tree.union.nodes.root, name)
            assert found is not None
            return found

        found = [name for name in (SMALL, LARGE) if context.copies_long(node(name))]

        assert found == waiting
        assert not context.copies_long(node(LARGE), 0)  # nothing of it is copied
