"""Which layers a snapshot shows: browsing, opaque roots, shared layers."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from snapfs.errors import InvalidArgumentError, ResourceExhaustedError
from snapfs.manager import SnapshotManager
from snapfs.overlay_format import MAX_LOWERDIRS
from support.stores import FakeDriver, commit_layer, fs_of, opened_store


def test_browsing_shows_a_snapshot_of_any_kind_read_only(
    store: SnapshotManager,
) -> None:
    commit_layer(store, "base")
    commit_layer(store, "top", "base")
    store.prepare("a", "top")
    store.view("v", "top")
    store.view("empty")
    base, top, own = (str(fs_of(store, key)) for key in ("base", "top", "a"))

    shown = {
        key: store.browse_mounts(key)[0].options
        for key in ("base", "top", "a", "v", "empty")
    }

    assert shown == {
        "base": (f"lowerdir={base}",),
        "top": (f"lowerdir={top}:{base}",),
        "a": (f"lowerdir={own}:{top}:{base}",),
        "v": (f"lowerdir={top}:{base}",),
        "empty": (f"lowerdir={fs_of(store, 'empty')}",),
    }


def test_browsing_takes_changes_elsewhere(store: SnapshotManager) -> None:
    commit_layer(store, "base")

    (mount,) = store.browse_mounts("base", upperdir="/u", workdir="/w")

    assert mount.options == (
        f"lowerdir={fs_of(store, 'base')}",
        "upperdir=/u",
        "workdir=/w",
    )


@pytest.mark.parametrize("given", [{"upperdir": "/u"}, {"workdir": "/w"}])
def test_browsing_takes_both_directories_or_none(
    store: SnapshotManager, given: dict[str, str]
) -> None:
    commit_layer(store, "base")

    with pytest.raises(InvalidArgumentError, match="go together"):
        store.browse_mounts("base", **given)


def change_row(store: SnapshotManager, key: str, **changes: object) -> None:
    """Change what only other parts of snapfs set, in row and sidecar alike."""
    with store.changes._changing(key) as old:
        new = dataclasses.replace(
            old,
            generation=old.generation + 1,
            **changes,  # type: ignore[arg-type]  # a test's shorthand
        )
        with store.changes._recorded(old, new):
            store.metadata.replace(old, new)


def test_an_opaque_root_ends_every_chain_above_it(store: SnapshotManager) -> None:
    commit_layer(store, "base")
    commit_layer(store, "opaque", "base")
    commit_layer(store, "top", "opaque")
    change_row(store, "opaque", root_opaque=True)
    top, opaque = str(fs_of(store, "top")), str(fs_of(store, "opaque"))

    (mount,) = store.prepare("a", "top")

    assert mount.options[0] == f"lowerdir={top}:{opaque}"
    assert store.details("top").lowerdirs == (opaque,)
    assert store.details("opaque").lowerdirs == ()
    assert store.browse_mounts("opaque")[0].options == (f"lowerdir={opaque}",)
    assert store.stat("opaque").parent == "base"


def test_a_shared_layer_lives_as_long_as_its_last_user(
    store: SnapshotManager, root: Path
) -> None:
    commit_layer(store, "first", file="content")
    commit_layer(store, "second")
    number = store.metadata.get("first").snapshot_id
    change_row(store, "second", layer_id=number)
    shared = fs_of(store, "first")
    (mount,) = store.prepare("on-second", "second")
    assert mount.options[0] == f"lowerdir={shared}"

    store.remove("first")
    store.finish_reclaim()

    assert (shared / "file").read_text() == "content"
    assert store.check() == []
    assert store.reclaim() == []

    store.remove("on-second")
    store.remove("second")
    store.finish_reclaim()

    assert os.listdir(root / "snapshots") == []


def test_a_shared_layer_survives_a_restart(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "first", file="content")
        commit_layer(store, "second")
        change_row(store, "second", layer_id=store.metadata.get("first").snapshot_id)
        shared = fs_of(store, "first")
        store.remove("first")

    with opened_store(root) as store:
        assert store.check() == []
        assert (shared / "file").read_text() == "content"


def test_a_chain_that_could_not_be_compared_is_refused(root: Path) -> None:
    # containerd's diff of an active snapshot mounts its upperdir as a lowerdir.
    driver = FakeDriver(max_layers=MAX_LOWERDIRS)
    with opened_store(root, drivers={"fake": driver}) as store:
        parent = ""
        for number in range(MAX_LOWERDIRS):
            commit_layer(store, f"c{number}", parent)
            parent = f"c{number}"
        before = sorted(os.listdir(root / "snapshots"))

        with pytest.raises(ResourceExhaustedError) as refused:
            store.prepare("a", parent)
        store.view("v", parent)
        store.prepare("b", f"c{MAX_LOWERDIRS - 2}")

        assert str(refused.value) == (
            "snapshot 'a' could be neither compared nor committed: 501 layers are too"
            " many"
        )
        assert len(store.browse_mounts("b")) == 1
        store.remove("v")
        store.remove("b")
        assert sorted(os.listdir(root / "snapshots")) == before
        assert store.check() == []
