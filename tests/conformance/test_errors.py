"""Every refusal of the contract: its error, the order of the checks, no effect.

The rows follow containerd's core/snapshots/storage/bolt.go and metastore_test.go.
The snapshots are those of ``population.POPULATION``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.population import commit_empty, listing, names, populate
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
)
from snapfs.model import Info
from snapfs.snapshotter import Snapshotter

# What a row calls; whatever it may return is never reached.
Call = Callable[[Snapshotter], Any]

TOO_LONG = {"l": "x" * 4096}

UNKNOWN_KEY = [
    pytest.param(lambda s: s.stat("none"), id="stat"),
    pytest.param(lambda s: s.mounts("none"), id="mounts"),
    pytest.param(lambda s: s.usage("none"), id="usage"),
    pytest.param(lambda s: s.remove("none"), id="remove"),
    pytest.param(lambda s: s.update(Info("none", labels={"l": "v"})), id="update"),
    pytest.param(lambda s: s.update(Info("none"), ["parent"]), id="update, bad path"),
    pytest.param(lambda s: s.commit("new", "none"), id="commit"),
    pytest.param(lambda s: s.commit("new", "none", parent="c1"), id="commit, rebase"),
    pytest.param(lambda s: s.prepare("new", "none"), id="prepare"),
    pytest.param(lambda s: s.view("new", "none"), id="view"),
    pytest.param(lambda s: s.stat(""), id="stat, empty key"),
    pytest.param(lambda s: s.mounts(""), id="mounts, empty key"),
    pytest.param(lambda s: s.remove(""), id="remove, empty key"),
]

COMMIT = [
    # The name is looked at first.
    pytest.param("c1", "a1", "", AlreadyExistsError, id="committed name taken"),
    pytest.param("a2", "a1", "", AlreadyExistsError, id="active name taken"),
    pytest.param("v1", "a1", "", AlreadyExistsError, id="view name taken"),
    pytest.param("a1", "a1", "", AlreadyExistsError, id="key as name"),
    pytest.param("c1", "none", "", AlreadyExistsError, id="name before key"),
    pytest.param("c1", "v1", "", AlreadyExistsError, id="name before kind"),
    # Then the key and its kind.
    pytest.param("new", "v1", "", FailedPreconditionError, id="view"),
    pytest.param("new", "c2", "", FailedPreconditionError, id="committed"),
    pytest.param("new", "v2", "none", FailedPreconditionError, id="kind before parent"),
    # Then the parent.
    pytest.param("new", "a1", "c1", InvalidArgumentError, id="another parent"),
    pytest.param("new", "a1", "none", InvalidArgumentError, id="another, unknown"),
    pytest.param("new", "a2", "none", NotFoundError, id="unknown parent"),
    pytest.param("new", "a2", "new", NotFoundError, id="itself as parent"),
    pytest.param("new", "a2", "a1", FailedPreconditionError, id="active parent"),
    pytest.param("new", "a2", "v1", FailedPreconditionError, id="view parent"),
]

# The parent is looked at first, then the key.
CREATE = [
    pytest.param("new", "a1", InvalidArgumentError, id="active parent"),
    pytest.param("new", "v1", InvalidArgumentError, id="view parent"),
    pytest.param("a2", "none", NotFoundError, id="unknown parent before key"),
    pytest.param("a2", "a1", InvalidArgumentError, id="parent's kind before key"),
    pytest.param("c1", "", AlreadyExistsError, id="committed key taken"),
    pytest.param("a1", "c1", AlreadyExistsError, id="active key taken"),
    pytest.param("v1", "c2", AlreadyExistsError, id="view key taken"),
    pytest.param("", "", InvalidArgumentError, id="empty key"),
    pytest.param("", "c1", InvalidArgumentError, id="empty key with a parent"),
]


def refuse(snapshots: Snapshotter, call: Call, expected: type[SnapfsError]) -> str:
    """Make ``call`` fail; return its message. Nothing may have changed."""
    populate(snapshots)
    before = listing(snapshots)

    with pytest.raises(expected) as refusal:
        call(snapshots)

    assert type(refusal.value) is expected
    assert listing(snapshots) == before
    return str(refusal.value)


@pytest.mark.parametrize("call", UNKNOWN_KEY)
def test_an_unknown_key_is_not_found(snapshots: Snapshotter, call: Call) -> None:
    refuse(snapshots, call, NotFoundError)


@pytest.mark.parametrize(("name", "key", "parent", "expected"), COMMIT)
def test_commit_refuses(
    snapshots: Snapshotter,
    name: str,
    key: str,
    parent: str,
    expected: type[SnapfsError],
) -> None:
    refuse(snapshots, lambda s: s.commit(name, key, parent=parent), expected)


@pytest.mark.parametrize("verb", ["prepare", "view"])
@pytest.mark.parametrize(("key", "parent", "expected"), CREATE)
def test_prepare_and_view_refuse(
    snapshots: Snapshotter,
    verb: str,
    key: str,
    parent: str,
    expected: type[SnapfsError],
) -> None:
    refuse(snapshots, lambda s: getattr(s, verb)(key, parent), expected)


@pytest.mark.parametrize("key", ["c1", "c2"])
def test_a_committed_snapshot_has_no_mounts(snapshots: Snapshotter, key: str) -> None:
    refuse(snapshots, lambda s: s.mounts(key), FailedPreconditionError)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda s: s.commit("", "a1"), id="commit, empty name"),
        pytest.param(lambda s: s.prepare("new", "", TOO_LONG), id="prepare, label"),
        pytest.param(lambda s: s.view("new", "c1", TOO_LONG), id="view, label"),
        pytest.param(lambda s: s.commit("new", "a1", TOO_LONG), id="commit, label"),
        pytest.param(lambda s: s.update(Info("a1", labels=TOO_LONG)), id="update"),
        pytest.param(
            lambda s: s.update(Info("a1", labels=TOO_LONG), ["labels.l"]),
            id="update, one label",
        ),
    ],
)
def test_what_can_never_succeed_is_an_invalid_argument(
    snapshots: Snapshotter, call: Call
) -> None:
    refuse(snapshots, call, InvalidArgumentError)


@pytest.mark.parametrize("kind", ["active", "view", "committed"])
def test_remove_refuses_a_parent_with_children(
    snapshots: Snapshotter, kind: str
) -> None:
    """Any other error would end containerd's collection (core/metadata)."""
    commit_empty(snapshots, "parent")
    if kind == "committed":
        commit_empty(snapshots, "child", "parent")
    else:
        (snapshots.prepare if kind == "active" else snapshots.view)("child", "parent")
    before = listing(snapshots)

    with pytest.raises(FailedPreconditionError, match="cannot remove"):
        snapshots.remove("parent")

    assert listing(snapshots) == before
    snapshots.remove("child")
    snapshots.remove("parent")
    assert names(snapshots) == []


def test_a_message_names_the_object(snapshots: Snapshotter) -> None:
    message = refuse(
        snapshots, lambda s: s.commit("new", "v1"), FailedPreconditionError
    )

    assert "v1" in message
