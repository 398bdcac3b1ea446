"""Chains of layers that random operations have written, and the layers of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from snapfs.layer.changed_entries import changed_entries
from snapfs.layer.diff import opened_diff
from snapfs.layer.notes import Notes
from snapfs.overlay_format import XattrPrefix
from support.kernel_tree import Change
from support.layer_stacks import LayerStack
from support.random_operations import LOWEST
from support.written_layers import tar_of_entries
from support.written_unions import build

USER_XATTRS = "userxattr"


@contextlib.contextmanager
def random_stack(
    root: Path,
    layers: Sequence[Sequence[Change]],
    options: str,
    *,
    by_engine: bool = False,
) -> Iterator[LayerStack]:
    """Write the lowest layer that all have, and others on it; gone at the end.

    Args:
        root: Where to make a directory for them.
        layers: The changes of each, the lowest first.
        options: Of the kernel's mount; ``USER_XATTRS`` also says where marks are.
        by_engine: Whether our engine makes the changes, and not the kernel.
    """
    is_user = options == USER_XATTRS
    prefix = XattrPrefix.USER if is_user else XattrPrefix.TRUSTED
    with tempfile.TemporaryDirectory(dir=root) as directory:
        stack = LayerStack(Path(directory), options, prefix)
        build(stack.add(), LOWEST)
        stack.settle()
        for changes in layers:
            stack.write(changes, by_engine=by_engine)
        yield stack


def layer_between(stack: LayerStack, before: int, after: int) -> bytes:
    """Return the tar of what the layers of one height change of those of another."""
    with opened_diff(
        [bytes(path) for path in stack.chain(before)],
        [bytes(path) for path in stack.chain(after)],
        stack.prefix,
        unchanged=True,
    ) as changes:
        return tar_of_entries(changed_entries(changes, Notes()))
