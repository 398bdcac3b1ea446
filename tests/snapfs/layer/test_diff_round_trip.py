"""Layers of changes, applied again: the tree is the one that they were taken from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Policy
from support.applied_layers import apply_tar
from support.compared_stacks import seen_tree
from support.kernel_tree import Change as Operation
from support.layer_stacks import LayerStack
from support.random_operations import LAYER, SETTINGS
from support.random_stacks import USER_XATTRS, layer_between, random_stack
from support.tree_metadata import Tree, compare

pytestmark = pytest.mark.root

_ALL_XATTRS = Policy(xattrs=("*",))


def _again(stack: LayerStack, steps: list[tuple[int, int]], root: Path) -> LayerStack:
    """Make a stack anew, from the layers of changes between heights of another."""
    other = LayerStack(root, stack.options, stack.prefix)
    for before, after in steps:
        layer = root / f"applied{after}"
        data = layer_between(stack, before, after)
        apply_tar(layer, data, form=OverlayForm(stack.prefix), policy=_ALL_XATTRS)
        layer.chmod(0o755)
        other.layers.append(layer)
    return other


def _differences(have: Tree, want: Tree, *, has_links: bool) -> list[str]:
    """Say what differs; not the root's time, nor hard links that copy-up parted."""
    for path, row in want.items():
        if has_links and not set(row.links) <= set(have[path].links):
            return [f"{path!r} is no link of all of {row.links}"]
    ignored = {b".": ("mtime_ns", "links")}
    return [
        line
        for path in have.keys() | want.keys()
        for line in compare(
            {path: have[path]} if path in have else {},
            {path: want[path]} if path in want else {},
            ignored.get(path, ("links",)),
        )
    ]


def _check(
    root: Path, layers: list[list[Operation]], options: str, *, by_engine: bool = False
) -> None:
    with random_stack(root, layers, options, by_engine=by_engine) as stack:
        height = len(stack.layers)

        each = [(n, n + 1) for n in range(height)]
        rebuilt = _again(stack, each, stack.root / "each")
        at_once = _again(stack, [(0, 1), (1, height)], stack.root / "once")

        for copy, pairs in (
            (rebuilt, [(n, n) for n in range(1, height + 1)]),
            (at_once, [(2, height)]),
        ):
            for ours, theirs in pairs:
                have = seen_tree(copy, copy.chain(ours)).rows
                want = seen_tree(stack, stack.chain(theirs)).rows
                # A renamed directory parts its links from names elsewhere.
                has_links = options == USER_XATTRS
                assert _differences(have, want, has_links=has_links) == []


_LAYERS = st.lists(LAYER, min_size=1, max_size=3)


@settings(SETTINGS, max_examples=25)
@given(layers=_LAYERS)
@pytest.mark.parametrize("options", ["redirect_dir=on,metacopy=on", USER_XATTRS])
def test_layers_of_a_kernel_mount_come_back_as_the_tree_that_they_were(
    memory: Path, layers: list[list[Operation]], options: str
) -> None:
    _check(memory, layers, options)


@settings(SETTINGS, max_examples=25)
@given(layers=_LAYERS)
def test_layers_of_our_engine_come_back_as_the_tree_that_they_were(
    memory: Path, layers: list[list[Operation]]
) -> None:
    _check(memory, layers, "redirect_dir=on,metacopy=off", by_engine=True)
