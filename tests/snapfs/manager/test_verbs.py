"""What the verbs do beyond the conformance tests: disk, sidecar, row together."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.manager import SnapshotManager
from snapfs.model import Info, Kind, Mount
from snapfs.overlay_format import GID_MAPPING_LABEL, UID_MAPPING_LABEL
from snapfs.state.sidecar import read_sidecar
from support.stores import FakeDriver, commit_layer, fs_of, opened_store


def sidecar_says(store: SnapshotManager, key: str) -> tuple[str, str, dict[str, str]]:
    record = read_sidecar(store.details(key).directory)
    return record.key, record.kind.value, record.labels


def test_every_change_is_in_the_sidecar_too(store: SnapshotManager) -> None:
    store.prepare("a", labels={"one": "1"})
    assert sidecar_says(store, "a") == ("a", "active", {"one": "1"})

    store.update(Info("a", labels={"two": "2"}), ["labels.two"])
    assert sidecar_says(store, "a") == ("a", "active", {"one": "1", "two": "2"})

    store.commit("c", "a", labels={"three": "3"})
    assert sidecar_says(store, "c") == ("c", "committed", {"three": "3"})


def test_mounts_name_the_layers_from_the_top_down(store: SnapshotManager) -> None:
    commit_layer(store, "base")
    commit_layer(store, "top", "base")

    (mount,) = store.prepare("a", "top")

    lowers = f"lowerdir={fs_of(store, 'top')}:{fs_of(store, 'base')}"
    own = Path(store.details("a").directory)
    assert mount == Mount(
        "fake",
        "fake",
        options=(lowers, f"upperdir={own}/fs", f"workdir={own}/work"),
    )
    assert store.mounts("a") == [mount]


def test_mounts_are_the_same_after_a_restart(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base")
        before = store.prepare("a", "base"), store.view("v", "base")

    with opened_store(root) as store:
        assert (store.mounts("a"), store.mounts("v")) == before


def test_a_driver_that_is_gone_is_named(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("a")

    with opened_store(root, drivers={"other": FakeDriver()}) as store:
        with pytest.raises(UnavailableError, match=r"'fake'.*doctor"):
            store.mounts("a")
        assert [finding.code for finding in store.check()] == ["unknown-driver"]


@pytest.mark.root
@pytest.mark.parametrize("host", [True, False], ids=["the-host-s", "the-container-s"])
def test_the_root_directory_has_the_root_that_the_driver_stores(
    root: Path, host: bool
) -> None:
    labels = {UID_MAPPING_LABEL: "0:1000:10", GID_MAPPING_LABEL: "0:2000:10"}
    drivers = {"fake": FakeDriver(stores_host_owners=host)}
    with opened_store(root, drivers=drivers) as store:
        store.prepare("a", labels=labels)

        status = fs_of(store, "a").stat()
        expected = (1000, 2000) if host else (os.geteuid(), os.getegid())
        assert (status.st_uid, status.st_gid) == expected


def test_a_chain_that_cannot_be_mounted_is_refused(root: Path) -> None:
    with opened_store(root, drivers={"fake": FakeDriver(max_layers=2)}) as store:
        commit_layer(store, "one")
        commit_layer(store, "two", "one")
        commit_layer(store, "three", "two")

        with pytest.raises(ResourceExhaustedError, match="3 layers"):
            store.prepare("a", "three")

        assert store.check() == []
        assert "a" not in {info.name for info in store.walk()}


@pytest.mark.parametrize("labels", [{"k": "v" * 5000}, {"k": "\udcff"}])
def test_a_bad_label_makes_nothing(
    store: SnapshotManager, root: Path, labels: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgumentError):
        store.prepare("a", labels=labels)

    assert os.listdir(root / "snapshots") == os.listdir(root / "staging") == []


def test_a_key_that_is_no_text_makes_nothing(
    store: SnapshotManager, root: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="Unicode"):
        store.prepare("\udcff")

    assert os.listdir(root / "snapshots") == os.listdir(root / "staging") == []


def test_an_update_with_another_path_applies_nothing(store: SnapshotManager) -> None:
    store.prepare("a", labels={"l": "1"})
    before = store.stat("a")

    with pytest.raises(InvalidArgumentError, match="parent"):
        store.update(Info("a", "x", labels={"l": "2"}), ["labels.l", "parent"])

    assert store.stat("a") == before


def test_an_update_changes_labels_and_the_time_only(store: SnapshotManager) -> None:
    store.prepare("a", labels={"keep": "1", "drop": "2", "dots.in.key": "3"})
    before = store.stat("a")

    after = store.update(
        Info("a", "ignored", Kind.VIEW, 7, 7, {"dots.in.key": "4", "other": "5"}),
        ["labels.drop", "labels.dots.in.key"],
    )

    assert after.labels == {"keep": "1", "dots.in.key": "4"}
    assert after.updated_ns > before.updated_ns
    assert dataclasses.replace(
        after, labels=before.labels, updated_ns=before.updated_ns
    ) == (before)


def test_a_rebase_gives_the_snapshot_its_parent(store: SnapshotManager) -> None:
    commit_layer(store, "base")
    store.prepare("extract-1")

    store.commit("top", "extract-1", parent="base")

    assert store.stat("top").parent == "base"
    assert list(store.details("top").lowerdirs) == [str(fs_of(store, "base"))]
    assert read_sidecar(store.details("top").directory).parent == "base"
    with pytest.raises(FailedPreconditionError, match="cannot remove"):
        store.remove("base")


def test_a_rebase_onto_a_chain_too_long_to_mount_is_refused(root: Path) -> None:
    with opened_store(root, drivers={"fake": FakeDriver(max_layers=2)}) as store:
        commit_layer(store, "one")
        commit_layer(store, "two", "one")
        store.prepare("a")

        with pytest.raises(ResourceExhaustedError):
            store.commit("three", "a", parent="two")

        assert store.stat("a").kind is Kind.ACTIVE
        assert store.check() == []
