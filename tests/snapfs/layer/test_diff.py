"""The diff engine against mounted trees that are read whole, before and after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.overlay_format import XattrPrefix
from support.compared_stacks import check_diff, seen_tree
from support.engine_tree import UMASK
from support.expected_changes import SeenTree
from support.kernel_tree import Change as Operation
from support.layer_stacks import LayerStack
from support.random_changes import random_changes
from support.union_changes import CHANGED, GONE, LOWER_0, LOWER_1, NEW, UPPER
from support.union_renames import ACLS, MOVED
from support.written_unions import build

pytestmark = pytest.mark.root

REDIRECTS = "redirect_dir=on,metacopy=off"
METACOPIES = "redirect_dir=on,metacopy=on"


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(UMASK)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def base(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LayerStack, SeenTree]:
    """Two layers, a third with something of each sort, and what they show."""
    options: str = request.param
    prefix = XattrPrefix.USER if options == "userxattr" else XattrPrefix.TRUSTED
    stack = LayerStack(tmp_path_factory.mktemp("stack"), options, prefix)
    before = os.umask(UMASK)
    try:
        build(stack.add(), LOWER_1)
        build(stack.add(), LOWER_0)
        stack.write(UPPER)
    finally:
        os.umask(before)
    return stack, seen_tree(stack, stack.chain())


_OPERATIONS = [*NEW, *GONE, *CHANGED, *MOVED, *ACLS]
_SOME = [
    operations
    if index % 4 == 0
    else pytest.param(*operations.values, id=operations.id, marks=pytest.mark.full)
    for index, operations in enumerate(_OPERATIONS)
]


def _check_change(
    base: tuple[LayerStack, SeenTree], operations: list[Operation], by_engine: bool
) -> None:
    stack, was = base
    stack.write(operations, by_engine=by_engine)
    try:
        check_diff(stack, stack.chain(3), stack.chain(), was)
    finally:
        stack.drop()


@pytest.mark.parametrize("base", [REDIRECTS], indirect=True)
@pytest.mark.parametrize("operations", _OPERATIONS)
def test_a_change_is_what_two_mounts_show(
    base: tuple[LayerStack, SeenTree], operations: list[Operation]
) -> None:
    _check_change(base, operations, by_engine=False)


@pytest.mark.parametrize("base", [METACOPIES, "userxattr"], indirect=True)
@pytest.mark.parametrize("operations", _SOME)
def test_so_it_is_under_other_options_of_the_mount(
    base: tuple[LayerStack, SeenTree], operations: list[Operation]
) -> None:
    _check_change(base, operations, by_engine=False)


@pytest.mark.parametrize("base", [REDIRECTS, "userxattr"], indirect=True)
@pytest.mark.parametrize("operations", _SOME)
def test_so_it_is_when_our_engine_wrote_the_upperdir(
    base: tuple[LayerStack, SeenTree], operations: list[Operation]
) -> None:
    _check_change(base, operations, by_engine=True)


@pytest.mark.parametrize("seed", range(16))
def test_layers_of_random_changes_differ_in_what_two_mounts_show(
    tmp_path: Path, seed: int
) -> None:
    stack = LayerStack(tmp_path, METACOPIES if seed % 2 else REDIRECTS)
    build(stack.add(), LOWER_1)
    build(stack.add(), LOWER_0)
    for half in range(2):
        changes = random_changes(2 * seed + half, 60)
        stack.write(changes, by_engine=seed % 4 == 0)

    found = check_diff(stack, stack.chain(2), stack.chain())
    check_diff(stack, stack.chain(3), stack.chain())
    check_diff(stack, stack.chain(), stack.chain(2))

    assert {change.kind for change in found} >= set("AMD")
