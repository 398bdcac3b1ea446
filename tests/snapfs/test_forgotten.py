"""What containerd forgot, and mounts of snapshots that are gone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import snapfs
from snapfs.assembly.forgotten import (
    forgotten_snapshots,
    leaked_mounts,
    numbers_of,
    store_mounts,
)
from snapfs.assembly.mounting import mount_all
from snapfs.kernel_overlay.mounting import unmount
from snapfs.model import Durability, Info, Kind, Owner, SnapshotDetails

S = 1_000_000_000


def row(
    number: int,
    name: str,
    parent: str = "",
    owner: Owner = Owner.CONTAINERD,
    created_s: int = 0,
    kind: Kind = Kind.COMMITTED,
) -> SnapshotDetails:
    info = Info(name, parent, kind, created_s * S, created_s * S)
    directory = f"/store/snapshots/{number}"
    return SnapshotDetails(
        info, owner, directory, f"{directory}/fs", (), "kernel", Durability.LAYER
    )


def names(details: list[SnapshotDetails]) -> list[str]:
    return [each.info.name for each in details]


def test_what_containerd_does_not_list_is_forgotten_children_first() -> None:
    rows = [
        row(1, "default/1/sha256:base"),
        row(2, "default/2/sha256:top", "default/1/sha256:base"),
        row(3, "default/3/with/slash", "default/2/sha256:top"),
        row(4, "other/4/sha256:base", kind=Kind.ACTIVE),
    ]

    found = forgotten_snapshots(
        rows, {("default", "sha256:base")}, now_ns=100 * S, grace_s=60
    )

    child, parent = "default/3/with/slash", "default/2/sha256:top"
    assert set(names(found)) == {child, parent, "other/4/sha256:base"}
    assert names(found).index(child) < names(found).index(parent)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(row(1, "default/1/x", owner=Owner.LOCAL), id="ours"),
        pytest.param(row(1, "default/1/x", created_s=50), id="in the making"),
        pytest.param(row(1, "by hand"), id="not named by containerd"),
        pytest.param(row(1, "default/x/y"), id="without a number"),
        pytest.param(row(1, "default/1/known"), id="known"),
        pytest.param(row(1, "default/7/known"), id="known, by another number"),
        pytest.param(row(1, "other/7/known"), id="shared with another namespace"),
    ],
)
def test_what_may_be_needed_is_left_out(kept: SnapshotDetails) -> None:
    known = {("default", "known")}

    assert forgotten_snapshots([kept], known, now_ns=100 * S, grace_s=60) == []


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    with contextlib.suppress(OSError):
        unmount(str(place), lazy=True)


@pytest.mark.root
@pytest.mark.parametrize("driver", ["kernel", "fuse", "bind"])
def test_a_mount_of_a_removed_snapshot_is_leaked(
    tmp_path: Path, target: Path, driver: str
) -> None:
    chosen = "fuse" if driver == "fuse" else "kernel"
    with snapfs.open_store(tmp_path / "root", driver=chosen) as store:
        store.prepare("base")
        store.commit("below", "base")
        store.prepare("work", "" if driver == "bind" else "below")
        mounts = store.mounts("work")
        number = int(os.path.basename(store.details("work").directory))
        below = int(os.path.basename(store.details("below").directory))
        root = store.status().root
    mount_all(mounts, str(target))

    with snapfs.open_store(tmp_path / "root") as store:
        [mount] = store_mounts(f"{root}/snapshots")
        before = list(leaked_mounts([mount], numbers_of(store.list_details())))
        store.remove("work")
        after = list(leaked_mounts([mount], numbers_of(store.list_details())))

    assert mount.target == str(target)
    assert mount.numbers == ({number} if driver == "bind" else {number, below})
    assert before == []
    assert after == [(mount, number)]


def test_mounts_of_others_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()

    assert store_mounts(str(tmp_path / "snapshots")) == []
