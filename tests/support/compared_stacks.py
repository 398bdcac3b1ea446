"""Two chains of layers, compared by the diff engine and by reading both mounts."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from snapfs.layer.change import Change, ChangeKind
from snapfs.layer.diff import opened_diff
from support.expected_changes import SeenTree, expected_changes
from support.layer_stacks import LayerStack
from support.tree_metadata import Metadata, digest_of_file


def seen_tree(stack: LayerStack, chain: Sequence[Path]) -> SeenTree:
    """Return what a mount of these layers shows."""
    with stack.shown(chain) as merged:
        return SeenTree.read(merged, stack.prefix)


def check_diff(
    stack: LayerStack,
    before: Sequence[Path],
    after: Sequence[Path],
    was: SeenTree | None = None,
    *,
    has_links: bool = True,
) -> list[Change]:
    """Compare two chains; the changes, and what they lend, must be what is seen.

    Without ``has_links`` it does not count what became a hard link of another: of
    layers that both chains have the engine does not look at every name.
    """
    was = was or seen_tree(stack, before)
    now = seen_tree(stack, after)
    with opened_diff(
        [bytes(path) for path in before], [bytes(path) for path in after], stack.prefix
    ) as changes:
        found = list(changes)
        for change in found:
            _check_source(change, now.rows.get(change.path))
    rows = [(str(c.kind), c.path, c.fields) for c in found]
    expected = expected_changes(was, now)
    if not has_links:
        rows, expected = (
            [row for row in each if row[2] != ("links",)] for each in (rows, expected)
        )
    assert rows == expected
    return found


def _check_source(change: Change, row: Metadata | None) -> None:
    if row is None:
        assert change.kind is ChangeKind.DELETED
        assert change.stat is None
        assert change.source is None
        return
    status, source = change.stat, change.source
    assert status is not None
    assert source is not None
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (
        row.mode,
        row.uid,
        row.gid,
    )
    assert status.st_mtime_ns == row.mtime_ns
    assert {os.fsdecode(n): v for n, v in source.xattrs().items()} == row.xattrs
    if row.type == "file":
        assert status.st_size == row.size
        fd = source.open_content()
        try:
            assert digest_of_file(b"/proc/self/fd/%d" % fd) == row.content
        finally:
            os.close(fd)
    elif row.type == "symlink":
        assert source.link_target() == row.content
    elif row.type.endswith("device"):
        numbers = (os.major(status.st_rdev), os.minor(status.st_rdev))
        assert numbers == row.device
