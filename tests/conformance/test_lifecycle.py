"""Prepare, view, commit and remove: the life of a snapshot.

Tests that name a case are those of containerd's core/snapshots/testsuite.
"""

from __future__ import annotations

import pytest

from conformance.layers import Workbench
from conformance.population import commit_empty, listing, names
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
)
from snapfs.model import Kind
from snapfs.snapshotter import Snapshotter
from support.tree_changes import Directory, File, Remove, apply_changes
from support.trees import differences


def test_a_stack_of_layers_goes_from_prepare_to_remove(workbench: Workbench) -> None:
    """Upstream's Basic."""
    snapshots, plain = workbench.snapshots, workbench.plain_directory()
    first = (
        File("foo", b"foo\n", 0o777),
        Directory("a"),
        Directory("a/b"),
        Directory("a/b/c"),
    )
    second = (
        File("bar", b"bar\n", 0o777),
        File("foo", b"bar\n", 0o777),
        Remove("a/b"),
    )

    with workbench.mounted(snapshots.prepare("preparing")) as merged:
        apply_changes(merged, first)
    snapshots.commit("committed", "preparing")
    with workbench.mounted(snapshots.prepare("next", "committed")) as merged:
        apply_changes(plain, first)
        assert differences(merged, plain) == []
        apply_changes(merged, second)
    next_info = snapshots.stat("next")
    snapshots.commit("committed-next", "next")

    assert (next_info.kind, next_info.parent) == (Kind.ACTIVE, "committed")
    with pytest.raises(NotFoundError):
        snapshots.stat("preparing")
    with pytest.raises(NotFoundError):
        snapshots.stat("next")
    lower, upper = snapshots.stat("committed"), snapshots.stat("committed-next")
    assert (lower.kind, lower.parent) == (Kind.COMMITTED, "")
    assert (upper.kind, upper.parent) == (Kind.COMMITTED, "committed")
    assert listing(snapshots) == [lower, upper]
    apply_changes(plain, second)
    assert workbench.differences_from("committed-next", plain) == []
    with pytest.raises(FailedPreconditionError, match="remove"):
        snapshots.remove("committed")
    snapshots.remove("committed-next")
    snapshots.remove("committed")
    assert listing(snapshots) == []


def test_a_prepared_snapshot_is_active(snapshots: Snapshotter) -> None:
    """Upstream's StatActive."""
    mounts = snapshots.prepare("preparing")

    info = snapshots.stat("preparing")

    assert mounts
    assert (info.name, info.kind, info.parent) == ("preparing", Kind.ACTIVE, "")


def test_a_committed_snapshot_is_committed(snapshots: Snapshotter) -> None:
    """Upstream's StatComitted."""
    snapshots.prepare("preparing")
    snapshots.commit("committed", "preparing")

    info = snapshots.stat("committed")

    assert (info.name, info.kind, info.parent) == ("committed", Kind.COMMITTED, "")


def test_parents_lead_down_to_the_base(workbench: Workbench) -> None:
    """Upstream's TransitivityTest."""
    snapshots = workbench.snapshots
    workbench.commit_layer("a", "", [File("foo", b"foo\n")])
    workbench.commit_layer("b", "a", [File("foo", b"foo bar\n")])
    snapshots.prepare("c", "b")

    chain = ["c"]
    while parent := snapshots.stat(chain[-1]).parent:
        chain.append(parent)

    assert chain == ["c", "b", "a"]


@pytest.mark.parametrize("second", ["prepare", "view"])
@pytest.mark.parametrize("first", ["prepare", "view"])
def test_a_key_serves_one_snapshot(
    snapshots: Snapshotter, first: str, second: str
) -> None:
    """Upstream's PreareViewFailingtest."""
    commit_empty(snapshots, "base")
    getattr(snapshots, first)("key", "base")
    before = listing(snapshots)

    with pytest.raises(AlreadyExistsError):
        getattr(snapshots, second)("key", "base")

    assert listing(snapshots) == before


def test_a_removed_name_can_be_used_again_as_any_kind(snapshots: Snapshotter) -> None:
    """Upstream's Remove."""
    commit_empty(snapshots, "committed")

    snapshots.prepare("reused", "committed")
    snapshots.remove("reused")
    snapshots.view("reused", "committed")
    snapshots.remove("reused")
    snapshots.prepare("reused")
    snapshots.remove("committed")
    snapshots.commit("committed", "reused")

    assert names(snapshots) == ["committed"]


def test_a_snapshot_with_children_stays(snapshots: Snapshotter) -> None:
    """Upstream's RemoveIntermediateSnapshot."""
    commit_empty(snapshots, "base")
    commit_empty(snapshots, "intermediate", "base")
    snapshots.prepare("top", "intermediate")

    with pytest.raises(FailedPreconditionError):
        snapshots.remove("intermediate")

    assert names(snapshots) == ["base", "intermediate", "top"]
    for key in ("top", "intermediate", "base"):
        snapshots.remove(key)
    assert names(snapshots) == []


def test_close_can_be_called_twice(snapshots: Snapshotter) -> None:
    """Upstream's CloseTwice."""
    commit_empty(snapshots, "committed")
    snapshots.remove("committed")

    snapshots.close()
    snapshots.close()


def test_a_key_may_hold_what_containerd_puts_into_keys(snapshots: Snapshotter) -> None:
    """Keys are "namespace/number/key"; core/metadata/snapshot.go, createKey."""
    key = f"default/12/extract-52037048-Hj63 sha256:{'8' * 64}"
    name = "../../..//k8s.io/é\N{SNOWMAN}\t,==\"'"

    snapshots.prepare(key)
    snapshots.commit(name, key)
    snapshots.view(".", name)

    assert snapshots.stat(name).kind is Kind.COMMITTED
    assert snapshots.stat(".").parent == name
    assert names(snapshots) == sorted([".", name])


def test_cleanup_leaves_what_is_in_use(workbench: Workbench) -> None:
    snapshots, plain = workbench.snapshots, workbench.plain_directory()
    layer = (File("kept", b"kept"),)
    workbench.commit_layer("kept", "", layer)
    snapshots.prepare("removed", "kept")
    snapshots.remove("removed")

    with workbench.mounted(snapshots.prepare("active", "kept")) as merged:
        snapshots.cleanup()
        File("late", b"late").apply(merged)
        content = (merged / "kept").read_bytes()

    assert content == b"kept"
    apply_changes(plain, layer)
    assert workbench.differences_from("kept", plain) == []
