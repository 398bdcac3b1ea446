"""Which changes wait for a worker: those that copy much, or wait for a disk."""

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
    ("is_quick", "waiting"),
    [
        pytest.param(False, [SMALL, LARGE], id="a-disk-that-takes-long"),
        pytest.param(True, [LARGE], id="a-quick-one"),
    ],
)
def test_a_small_copy_that_does_not_wait_long_is_made_at_once(
    tmp_path: Path, *, is_quick: bool, waiting: list[bytes]
) -> None:
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    build(
        sandbox.lowers[0],
        [("small", "f", b"x" * 100), ("large", "f", bytes(LARGE_FILE)), ("new", "f")],
    )
    config = MountConfig()
    with sandbox.engine() as tree:
        tree.changes.copy_up.settler.is_quick = is_quick
        context = Context(tree.union, tree.changes, config, is_read_only=False)

        def node(name: bytes) -> Node:
            found = tree.union.lookup(tree.union.nodes.root, name)
            assert found is not None
            return found

        found = [name for name in (SMALL, LARGE) if context.copies_long(node(name))]

        assert found == waiting
        assert not context.copies_long(node(LARGE), 0)  # nothing of it is copied
