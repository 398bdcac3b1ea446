"""Random changes through an overlay mount, written as layers, and applied again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Policy
from support.applied_layers import apply_tar, settle
from support.kernel_tree import Change as Operation
from support.layer_stacks import LayerStack
from support.random_operations import LAYER
from support.random_stacks import USER_XATTRS, layer_between, random_stack
from support.tree_metadata import Tree, compare, read_metadata

pytestmark = pytest.mark.root

ALL_XATTRS = Policy(xattrs=("user.*", "system.*", "security.*", "trusted.*"))

_LAYERS = st.lists(LAYER, min_size=1, max_size=3)


def applied(stack: LayerStack) -> list[Path]:
    """Write all layers of a stack and apply them again; return them, highest first."""
    form = OverlayForm(stack.prefix)
    chain: list[Path] = []
    for height in range(1, len(stack.layers) + 1):
        directory = stack.root / f"applied{height}"
        tar = layer_between(stack, height - 1, height)
        result = apply_tar(directory, tar, form=form, policy=ALL_XATTRS)
        settle(directory, result, *chain, form=form)
        chain.insert(0, directory)
    return chain


def view(stack: LayerStack, chain: Sequence[Path]) -> Tree:
    with stack.shown(chain) as merged:
        tree = read_metadata(os.fsencode(merged))
    tree.pop(b".")  # as old as the layer's directory
    return tree


def check_round_trip(
    root: Path,
    layers: list[list[Operation]],
    options: str,
    *,
    by_engine: bool = False,
) -> None:
    with random_stack(root, layers, options, by_engine=by_engine) as stack:
        want = view(stack, stack.chain())

        have = view(stack, applied(stack))

        assert compare(have, want, ["links"]) == []
        # A hard link that copy-up broke is no change; those that are there are kept.
        for path, metadata in want.items():
            assert set(metadata.links) <= set(have[path].links), path


@settings(deadline=None, max_examples=40, database=None)
@given(layers=_LAYERS)
@pytest.mark.parametrize("by_engine", [False, True], ids=["kernel", "engine"])
def test_layers_of_random_changes_show_the_same_when_applied(
    memory: Path, layers: list[list[Operation]], by_engine: bool
) -> None:
    check_round_trip(
        memory, layers, "redirect_dir=on,metacopy=off", by_engine=by_engine
    )


@settings(deadline=None, max_examples=40, database=None)
@given(layers=_LAYERS)
@pytest.mark.parametrize("options", ["redirect_dir=on,metacopy=on", USER_XATTRS])
def test_so_they_do_under_other_options_of_the_mount(
    memory: Path, layers: list[list[Operation]], options: str
) -> None:
    check_round_trip(memory, layers, options)
