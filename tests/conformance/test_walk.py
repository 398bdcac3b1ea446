"""Walk: what a listing holds, and containerd's filters.

Tests that name a case are those of containerd's core/snapshots/testsuite.
"""

from __future__ import annotations

import pytest

from conformance.population import POPULATION, commit_empty, listing, names, populate
from snapfs.errors import InvalidArgumentError
from snapfs.snapshotter import Snapshotter

ROOT = {"containerd.io/gc.root": "check-walk"}
IS_ROOT = 'labels."containerd.io/gc.root"==check-walk'


def populate_for_filters(snapshots: Snapshotter) -> None:
    """Make what checkWalk makes: a-... active, p-... parents, v-... views."""
    snapshots.prepare("a-np", "", ROOT)
    commit_empty(snapshots, "p", "", ROOT)
    snapshots.prepare("a", "p", ROOT)
    snapshots.view("v", "p", ROOT)
    commit_empty(snapshots, "p-wl", "", {"l": "1", **ROOT})
    snapshots.prepare("a-wl", "p-wl", {"l": "2", **ROOT})
    snapshots.view("v-wl", "p-wl", {"l": "3", **ROOT})
    snapshots.prepare("a-np-wl", "", {"l": "2", **ROOT})
    snapshots.prepare("no-root")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param([IS_ROOT], "a a-np a-np-wl a-wl p p-wl v v-wl", id="quoted field"),
        pytest.param(
            [f"kind==active,{IS_ROOT}"], "a a-np a-np-wl a-wl", id="active and root"
        ),
        pytest.param([f"kind==view,{IS_ROOT}"], "v v-wl", id="view and root"),
        pytest.param([f"kind==committed,{IS_ROOT}"], "p p-wl", id="committed and root"),
        pytest.param(["name==p", "name==a-np-wl"], "a-np-wl p", id="either name"),
        pytest.param(["name==a-wl,labels.l"], "a-wl", id="a label is there"),
        pytest.param(["parent==p"], "a v", id="parent"),
        pytest.param([f'parent!="",{IS_ROOT}'], "a a-wl v v-wl", id="has a parent"),
        pytest.param(["labels.l"], "a-np-wl a-wl p-wl v-wl", id="any with a label"),
        pytest.param(["labels.l==2"], "a-np-wl a-wl", id="label value"),
    ],
)
def test_walk_yields_what_matches(
    snapshots: Snapshotter, filters: list[str], expected: str
) -> None:
    """Upstream's Walk."""
    populate_for_filters(snapshots)

    assert names(snapshots, *filters) == expected.split()


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param(["labels.l!=2,labels.l"], "p-wl v-wl", id="another value"),
        pytest.param(["labels.l!=2,name~=^a"], "a a-np", id="absent is not equal"),
        pytest.param(["name~=wl$"], "a-np-wl a-wl p-wl v-wl", id="regular expression"),
        pytest.param(["name~=(,name==p"], "", id="a comma ends a bare value"),
        pytest.param([""], "a a-np a-np-wl a-wl no-root p p-wl v v-wl", id="empty"),
        pytest.param(["kind==ACTIVE"], "", id="kinds are lower case"),
        pytest.param(["nonsense==1"], "", id="unknown field"),
        pytest.param(['name == "p", kind == committed'], "p", id="spaces"),
        pytest.param(["name=='p'"], "", id="a single quote is a letter"),
    ],
)
def test_filters_follow_containerds_grammar(
    snapshots: Snapshotter, filters: list[str], expected: str
) -> None:
    """As pkg/filters matches; its adaptor is in core/snapshots/storage/bolt.go."""
    populate_for_filters(snapshots)

    assert names(snapshots, *filters) == expected.split()


@pytest.mark.parametrize(
    "broken",
    ["==x", "name==", "name=p", "name==p,", 'name=="p', "labels.==x", "name==p ,kind"],
)
def test_a_broken_filter_is_refused_at_the_call(
    snapshots: Snapshotter, broken: str
) -> None:
    populate(snapshots)

    with pytest.raises(InvalidArgumentError):
        snapshots.walk(["kind==active", broken])


def test_stat_during_a_walk_agrees_with_it(snapshots: Snapshotter) -> None:
    """Upstream's StatInWalk."""
    populate(snapshots)

    seen = {info.name: snapshots.stat(info.name) == info for info in snapshots.walk()}

    assert seen == dict.fromkeys(POPULATION, True)


def test_a_walk_shows_the_state_at_its_call(snapshots: Snapshotter) -> None:
    """Removing while walking is what a garbage collection does."""
    populate(snapshots)
    before = listing(snapshots)

    walk = snapshots.walk()
    for key in ("a1", "a2", "v1", "v2", "c2", "c1"):
        snapshots.remove(key)
    snapshots.prepare("later")

    assert sorted(walk, key=lambda info: info.name) == before
    assert names(snapshots) == ["later"]


def test_a_walk_can_be_left_early(snapshots: Snapshotter) -> None:
    populate(snapshots)

    first = next(iter(snapshots.walk()))

    assert first.name in POPULATION
    assert len(listing(snapshots)) == len(POPULATION)


def test_a_long_listing_is_whole(snapshots: Snapshotter) -> None:
    """More than the 100 infos that one message of a stream holds."""
    expected = sorted(f"key-{number:03}" for number in range(250))
    for key in expected:
        snapshots.view(key)

    assert names(snapshots) == expected
