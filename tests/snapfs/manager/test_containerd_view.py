"""containerd sees its own snapshots; its collection removes no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
)
from snapfs.manager import SnapshotManager
from snapfs.manager.containerd_view import ContainerdSnapshotter
from snapfs.model import Info, Kind, Owner
from snapfs.snapshotter import Snapshotter
from support.stores import commit_layer


@pytest.fixture
def containerd(store: SnapshotManager) -> ContainerdSnapshotter:
    return ContainerdSnapshotter(store)


def collect(snapshots: Snapshotter) -> None:
    """Remove all that is listed, children first, as containerd's collection."""
    while left := list(snapshots.walk()):
        parents = {info.parent for info in left}
        for info in left:
            if info.name not in parents:
                snapshots.remove(info.name)


def test_a_collection_takes_all_of_containerds_and_nothing_else(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    commit_layer(store, "local-base")
    store.prepare("local-active", "local-base")
    containerd.prepare("default/1/extract")
    containerd.commit("default/2/sha256:aa", "default/1/extract")
    containerd.prepare("default/3/box", "default/2/sha256:aa")
    containerd.view("default/4/look", "default/2/sha256:aa")

    collect(containerd)

    assert sorted(info.name for info in store.walk()) == ["local-active", "local-base"]


TARGET = {"containerd.io/snapshot.ref": "sha256:aa"}


@pytest.fixture
def sharing(store: SnapshotManager) -> ContainerdSnapshotter:
    """One of whose namespaces has a layer, and another on it."""
    made = ContainerdSnapshotter(store, shares_namespaces=True)
    made.prepare("one/1/extract-a sha256:aa", labels=TARGET)
    made.commit("one/2/sha256:aa", "one/1/extract-a sha256:aa", TARGET)
    above = {"containerd.io/snapshot.ref": "sha256:bb"}
    made.prepare("one/3/extract-b sha256:bb", "one/2/sha256:aa", above)
    made.commit("one/4/sha256:bb", "one/3/extract-b sha256:bb", above)
    return made


def test_what_one_namespace_has_another_is_told_of(
    sharing: ContainerdSnapshotter,
) -> None:
    with pytest.raises(AlreadyExistsError, match="one/2/sha256:aa"):
        sharing.prepare("two/9/extract-c sha256:aa", labels=TARGET)

    # This is how containerd looks for it then (core/metadata/snapshot.go).
    target = 'labels."containerd.io/snapshot.ref"=="sha256:bb"'
    above = {"containerd.io/snapshot.ref": "sha256:bb"}
    with pytest.raises(AlreadyExistsError):
        sharing.prepare("two/10/extract-d sha256:bb", "one/2/sha256:aa", above)
    found = list(sharing.walk([f'{target},parent=="one/2/sha256:aa"']))
    assert [info.name for info in found] == ["one/4/sha256:bb"]
    assert all(not info.name.startswith("two") for info in sharing.walk())


def test_a_layer_on_others_is_not_the_same_layer(
    sharing: ContainerdSnapshotter,
) -> None:
    above = {"containerd.io/snapshot.ref": "sha256:bb"}

    sharing.prepare("two/9/extract-c sha256:bb", labels=above)  # all at once
    sharing.prepare("two/10/extract-d sha256:aa", "one/4/sha256:bb", TARGET)

    assert len(list(sharing.walk())) == 4


def test_a_layer_that_is_not_committed_is_not_there(
    store: SnapshotManager,
) -> None:
    sharing = ContainerdSnapshotter(store, shares_namespaces=True)
    sharing.prepare("one/1/extract-a sha256:aa", labels=TARGET)

    sharing.prepare("two/2/extract-b sha256:aa", labels=TARGET)

    assert len(list(sharing.walk())) == 2


def test_namespaces_share_nothing_unless_told_to(
    sharing: ContainerdSnapshotter, containerd: ContainerdSnapshotter
) -> None:
    containerd.prepare("two/9/extract-c sha256:aa", labels=TARGET)

    assert len(list(containerd.walk())) == 3


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda view: view.stat("local"), id="stat"),
        pytest.param(lambda view: view.mounts("local"), id="mounts"),
        pytest.param(lambda view: view.usage("local"), id="usage"),
        pytest.param(lambda view: view.remove("local"), id="remove"),
        pytest.param(lambda view: view.commit("new", "local"), id="commit"),
        pytest.param(lambda view: view.update(Info("local")), id="update"),
        pytest.param(lambda view: view.prepare("new", "local-base"), id="prepare"),
        pytest.param(lambda view: view.view("new", "local-base"), id="view"),
        pytest.param(
            lambda view: view.commit("new", "ours", parent="local-base"), id="rebase"
        ),
        pytest.param(lambda view: view.remove("missing"), id="remove-nothing"),
    ],
)
def test_what_is_local_is_not_there_for_containerd(
    store: SnapshotManager,
    containerd: ContainerdSnapshotter,
    call: Callable[[ContainerdSnapshotter], object],
) -> None:
    commit_layer(store, "local-base")
    store.prepare("local", "local-base")
    containerd.prepare("ours")
    before = sorted(store.walk(), key=lambda info: info.name)

    with pytest.raises(NotFoundError):
        call(containerd)

    assert sorted(store.walk(), key=lambda info: info.name) == before


def test_a_name_that_is_local_is_taken_for_containerd(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    store.prepare("local")
    containerd.prepare("ours")

    with pytest.raises(AlreadyExistsError):
        containerd.prepare("local")
    with pytest.raises(AlreadyExistsError):
        containerd.commit("local", "ours")


def test_filters_find_containerds_snapshots_only(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    store.prepare("local", labels={"l": "1"})
    containerd.prepare("ours", labels={"l": "1"})

    assert [info.name for info in containerd.walk(["labels.l==1"])] == ["ours"]


def test_a_local_child_keeps_containerds_parent(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    containerd.prepare("a")
    containerd.commit("base", "a")
    store.prepare("local", "base")

    with pytest.raises(FailedPreconditionError, match="cannot remove"):
        containerd.remove("base")

    store.remove("local")
    containerd.remove("base")


def test_the_command_line_leaves_containerds_alone_unless_forced(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    containerd.prepare("ours")

    with pytest.raises(FailedPreconditionError, match="ctr snapshots rm"):
        store.remove("ours")
    with pytest.raises(FailedPreconditionError, match="ctr snapshots commit"):
        store.commit("c", "ours")
    assert store.stat("ours").kind is Kind.ACTIVE

    store.force_remove("ours")

    with pytest.raises(NotFoundError):
        store.stat("ours")


def test_a_key_that_became_local_meanwhile_is_not_removed(
    store: SnapshotManager,
    containerd: ContainerdSnapshotter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    containerd.prepare("key")
    get = store.metadata.get

    def get_and_exchange(key: str) -> object:
        monkeypatch.undo()
        row = get(key)
        store.force_remove("key")
        store.prepare("key")
        return row

    monkeypatch.setattr(store.metadata, "get", get_and_exchange)

    with pytest.raises(NotFoundError):
        containerd.remove("key")

    assert store.details("key").owner is Owner.LOCAL


def test_closing_the_view_keeps_the_store_open(
    store: SnapshotManager, containerd: ContainerdSnapshotter
) -> None:
    containerd.close()
    containerd.close()

    store.prepare("a")
    assert store.stat("a").name == "a"
