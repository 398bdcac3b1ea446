"""Update: labels change, nothing else does.

Tests that name a case are those of containerd's core/snapshots/testsuite.
"""

from __future__ import annotations

import dataclasses
import time

import pytest

from conformance.population import POPULATION, listing, populate
from snapfs.errors import InvalidArgumentError
from snapfs.model import Info, Kind
from snapfs.snapshotter import Snapshotter

LABELS = {"l1": "v1", "l2": "v2", "l3": "v3", "containerd.io/gc.root": "now"}


def test_times_are_exact_to_the_nanosecond(snapshots: Snapshotter) -> None:
    """Upstream's Update, its first part: a truncated time would lie before t1."""
    t1 = time.time_ns()
    populate(snapshots)
    t2 = time.time_ns()

    infos = {info.name: info for info in listing(snapshots)}

    shape = {name: (info.kind, info.parent) for name, info in infos.items()}
    assert shape == dict(POPULATION)
    for info in infos.values():
        assert t1 <= info.created_ns <= t2
        assert info.updated_ns == info.created_ns


@pytest.mark.parametrize("name", POPULATION)
def test_labels_are_replaced_set_and_deleted(snapshots: Snapshotter, name: str) -> None:
    """Upstream's Update, its second part."""
    populate(snapshots)
    before = snapshots.stat(name)

    u1 = time.time_ns()
    whole = snapshots.update(
        dataclasses.replace(before, parent="doesnotexist", labels=LABELS)
    )
    u2 = time.time_ns()
    some = snapshots.update(
        dataclasses.replace(whole, labels={"l1": "updated", "l4": "v4"}),
        ["labels.l1", "labels.l2"],
    )
    replaced = snapshots.update(
        dataclasses.replace(some, labels={"l4": "v4"}), ["labels"]
    )

    assert u1 <= whole.updated_ns <= u2
    assert whole == dataclasses.replace(
        before, labels=LABELS, updated_ns=whole.updated_ns
    )
    assert some.labels == {"l1": "updated", "l3": "v3", "containerd.io/gc.root": "now"}
    assert replaced.labels == {"l4": "v4"}
    assert snapshots.stat(name) == replaced
    assert replaced.created_ns == before.created_ns


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["parent"], id="parent"),
        pytest.param(["kind"], id="kind"),
        pytest.param(["name"], id="name"),
        pytest.param(["created_at"], id="created_at"),
        pytest.param([""], id="an empty path"),
        pytest.param(["labelsl1"], id="not quite labels"),
        pytest.param(["labels.l1", "parent"], id="labels first"),
        pytest.param(["parent", "labels"], id="labels last"),
    ],
)
def test_nothing_but_labels_can_change(
    snapshots: Snapshotter, paths: list[str]
) -> None:
    """Upstream's Update, its last part."""
    populate(snapshots)
    before = listing(snapshots)

    with pytest.raises(InvalidArgumentError):
        snapshots.update(Info("a1", parent="c1", labels={"l1": "new"}), paths)

    assert listing(snapshots) == before


def test_only_the_name_and_the_labels_of_the_info_count(
    snapshots: Snapshotter,
) -> None:
    populate(snapshots)
    before = snapshots.stat("c2")

    after = snapshots.update(
        Info("c2", "a1", Kind.VIEW, created_ns=1, updated_ns=2, labels={"l": "v"})
    )

    assert after == dataclasses.replace(
        before, updated_ns=after.updated_ns, labels={"l": "v"}
    )
    assert after.updated_ns > before.updated_ns


def test_an_empty_value_deletes_a_label(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", labels=LABELS)

    by_path = snapshots.update(Info("a", labels={"l1": ""}), ["labels.l1"])
    whole = snapshots.update(Info("a", labels={"l2": "", "l3": "v3"}))

    assert by_path.labels == {"l2": "v2", "l3": "v3", "containerd.io/gc.root": "now"}
    assert whole.labels == {"l3": "v3"}


def test_deleting_a_label_that_is_not_there_succeeds(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", labels={"l1": "v1"})

    after = snapshots.update(Info("a"), ["labels.l2"])

    assert after.labels == {"l1": "v1"}


def test_the_label_of_a_path_may_hold_dots(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", labels={"containerd": "kept"})
    label = "containerd.io/snapshot.ref"

    after = snapshots.update(Info("a", labels={label: "sha256:1"}), [f"labels.{label}"])

    assert after.labels == {"containerd": "kept", label: "sha256:1"}
