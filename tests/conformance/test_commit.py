"""Commit: what the committed snapshot keeps, and rebasing."""

from __future__ import annotations

import time

import pytest

from conformance.layers import Workbench
from conformance.population import commit_empty, names
from snapfs.model import Kind
from snapfs.snapshotter import Snapshotter
from support.tree_changes import Directory, File, apply_changes


def test_commit_replaces_the_labels(snapshots: Snapshotter) -> None:
    """Nothing is inherited; CommitActive in core/snapshots/storage/bolt.go."""
    snapshots.prepare("key", labels={"old": "1", "both": "active"})

    snapshots.commit("name", "key", {"both": "committed", "new": "2", "none": ""})

    assert snapshots.stat("name").labels == {"both": "committed", "new": "2"}


def test_commit_without_labels_leaves_none(snapshots: Snapshotter) -> None:
    snapshots.prepare("key", labels={"old": "1"})

    snapshots.commit("name", "key")

    assert snapshots.stat("name").labels == {}


def test_a_committed_snapshot_was_created_when_it_was_committed(
    snapshots: Snapshotter,
) -> None:
    snapshots.prepare("key")
    prepared = snapshots.stat("key")

    t1 = time.time_ns()
    snapshots.commit("name", "key")
    t2 = time.time_ns()

    committed = snapshots.stat("name")
    assert prepared.created_ns <= t1 <= committed.created_ns <= t2
    assert committed.updated_ns == committed.created_ns


def test_the_key_is_free_after_commit(snapshots: Snapshotter) -> None:
    snapshots.prepare("key")
    snapshots.commit("name", "key")

    snapshots.prepare("key", "name")

    assert names(snapshots) == ["key", "name"]


def test_naming_the_same_parent_at_commit_changes_nothing(
    snapshots: Snapshotter,
) -> None:
    commit_empty(snapshots, "base")
    snapshots.prepare("key", "base")

    snapshots.commit("name", "key", parent="base")

    assert snapshots.stat("name").parent == "base"


def test_a_rebased_snapshot_counts_as_a_child(snapshots: Snapshotter) -> None:
    commit_empty(snapshots, "base")
    snapshots.prepare("key")

    snapshots.commit("name", "key", {"l": "v"}, parent="base")

    info = snapshots.stat("name")
    assert (info.parent, info.kind, info.labels) == (
        "base",
        Kind.COMMITTED,
        {"l": "v"},
    )
    assert names(snapshots, "parent==base") == ["name"]


def test_layers_made_apart_add_up_once_they_are_rebased(workbench: Workbench) -> None:
    """As containerd unpacks in parallel; core/unpack/unpacker.go."""
    snapshots, plain = workbench.snapshots, workbench.plain_directory()
    lower = (Directory("etc"), File("etc/lower", b"1"), File("both", b"lower"))
    upper = (File("upper", b"2"), File("both", b"upper"))
    for key, changes in (("lower-key", lower), ("upper-key", upper)):
        with workbench.mounted(snapshots.prepare(key)) as merged:
            apply_changes(merged, changes)

    snapshots.commit("lower", "lower-key")
    snapshots.commit("upper", "upper-key", parent="lower")

    apply_changes(plain, [*lower, *upper])
    assert workbench.differences_from("upper", plain) == []


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_committed_snapshot_does_not_change_with_its_children(
    workbench: Workbench, depth: int
) -> None:
    plain, parent = workbench.plain_directory(), "base"
    base = (Directory("etc"), File("etc/file", b"base"))
    workbench.commit_layer("base", "", base)
    for number in range(depth):
        name = f"child-{number}"
        workbench.commit_layer(name, parent, [File("etc/file", name.encode())])
        parent = name

    apply_changes(plain, base)

    assert workbench.differences_from("base", plain) == []
