"""The diff engine on random chains of layers, any two heights of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.compared_stacks import check_diff
from support.kernel_tree import Change as Operation
from support.random_operations import LAYER, SETTINGS
from support.random_stacks import USER_XATTRS, random_stack

pytestmark = pytest.mark.root


_CHAINS = st.tuples(st.lists(LAYER, min_size=1, max_size=3), LAYER, LAYER)
_Chains = tuple[list[list[Operation]], list[Operation], list[Operation]]


def _compare(
    root: Path, chains: _Chains, options: str, *, by_engine: bool = False
) -> None:
    """Write layers, and two more that both stand on them; compare every two."""
    lowers, left, right = chains
    with random_stack(root, lowers, options, by_engine=by_engine) as stack:
        base = stack.chain()
        stack.write(left, by_engine=by_engine)
        first = stack.chain()
        other = stack.branch(base)
        other.write(right, by_engine=by_engine)
        second = other.chain()
        # A renamed directory may have links to names that nobody looks at.
        check_diff(stack, base, first, has_links=options == USER_XATTRS)
        for before, after in ((first, second), (second, base[-1:])):
            check_diff(stack, before, after, has_links=False)


@settings(SETTINGS, max_examples=40)
@given(chains=_CHAINS)
@pytest.mark.parametrize("by_engine", [False, True], ids=["kernel", "engine"])
def test_random_layers_differ_in_what_two_mounts_show(
    memory: Path, chains: _Chains, by_engine: bool
) -> None:
    _compare(memory, chains, "redirect_dir=on,metacopy=off", by_engine=by_engine)


@settings(SETTINGS, max_examples=40)
@given(chains=_CHAINS)
@pytest.mark.parametrize("options", ["redirect_dir=on,metacopy=on", USER_XATTRS])
def test_so_they_do_under_other_options_of_the_mount(
    memory: Path, chains: _Chains, options: str
) -> None:
    _compare(memory, chains, options)
