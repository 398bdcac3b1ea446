"""Low space: layers are refused before the disk is full, all else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import ResourceExhaustedError
from snapfs.manager import SnapshotManager
from support.disks import small_disk
from support.stores import opened_store

pytestmark = pytest.mark.root

LAYER = {EXTRACTION_LABEL: "sha256:a"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "8m,nr_inodes=400") as made:
        yield made


@pytest.fixture
def store(disk: Path) -> Iterator[SnapshotManager]:
    with opened_store(disk / "root", min_free_percent=25) as made:
        yield made


def refused(store: SnapshotManager, says: str) -> None:
    with pytest.raises(ResourceExhaustedError, match=says) as error:
        store.prepare("layer", labels=LAYER)
    assert "\n" not in str(error.value)
    with pytest.raises(ResourceExhaustedError, match=says):
        store.stage(1)


def test_layers_are_refused_where_few_bytes_are_left(
    store: SnapshotManager, disk: Path
) -> None:
    store.prepare("first", labels=LAYER)
    store.commit("base", "first")
    (disk / "much").write_bytes(bytes(5 << 20))

    refused(store, r"only \d MiB are free .*2 MiB are kept.*snapfs cleanup")
    store.prepare("container", "base")
    store.commit("committed", "container")
    store.remove("committed")
    assert store.stage(0) == []

    (disk / "much").unlink()
    store.prepare("layer", labels=LAYER)


def test_layers_are_refused_where_few_inodes_are_left(
    store: SnapshotManager, disk: Path
) -> None:
    (disk / "many").mkdir()
    while os.statvfs(disk).f_favail > 60:
        (disk / f"many/{os.statvfs(disk).f_favail}").touch()

    refused(store, r"only \d+ inodes are free .*100 are kept")


def test_nothing_is_refused_by_default(disk: Path) -> None:
    with opened_store(disk / "root") as store:
        (disk / "much").write_bytes(bytes(6 << 20))

        store.prepare("layer", labels=LAYER)
