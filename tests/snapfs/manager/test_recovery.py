"""What opening a store puts right, and what it refuses to guess."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs.errors import DataLossError
from snapfs.manager import SnapshotManager
from snapfs.manager.sidecars import sidecar_of
from snapfs.model import Info
from snapfs.state.paths import SIDECAR_NAME
from snapfs.state.sidecar import append_sidecar
from support.stores import commit_layer, disk_image, fs_of, opened_store


def crash(store: SnapshotManager) -> None:
    """End as a killed process does: nothing is recorded any more."""
    store.metadata.require_recovery()


def test_an_announced_change_that_never_happened_is_taken_back(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("a")
        store.update(Info("a", labels={"l": "1"}))
        row = store.metadata.get("a")
        announced = dataclasses.replace(row, generation=row.generation + 1)
        append_sidecar(store.details("a").directory, sidecar_of(announced, "user."))
        crash(store)

    with opened_store(root) as store:
        assert store.check() == []
        assert store.stat("a").labels == {"l": "1"}


@pytest.mark.parametrize("content", [None, b"", b"garbage\n" * 100])
def test_a_damaged_sidecar_is_written_anew(root: Path, content: bytes | None) -> None:
    with opened_store(root) as store:
        store.prepare("a", labels={"l": "1"})
        sidecar = Path(store.details("a").directory, SIDECAR_NAME)
        sidecar.unlink()
        if content is not None:
            sidecar.write_bytes(content)
        assert [finding.code for finding in store.check()] == ["sidecar"]
        crash(store)

    with opened_store(root) as store:
        assert store.check() == []


def test_a_label_change_rewrites_a_damaged_sidecar(store: SnapshotManager) -> None:
    store.prepare("a")
    Path(store.details("a").directory, SIDECAR_NAME).unlink()

    store.update(Info("a", labels={"l": "1"}))

    assert store.check() == []


def test_directories_without_rows_are_discarded(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("a")
        for number in range(2, 7):  # a number that was never given is another matter
            store.prepare(f"gone-{number}")
            store.remove(f"gone-{number}")
        store.finish_reclaim()
    (root / "snapshots/5/fs").mkdir(parents=True)
    (root / "staging/6").mkdir()
    (root / "staging/what is this").write_text("")

    with opened_store(root) as store:
        assert store.check() == []
        assert sorted(os.listdir(root / "trash")) == ["5", "6", "what is this"]
        assert fs_of(store, "a").is_dir()
        assert len(store.reclaim()) == 3


def test_a_directory_whose_way_out_of_the_reserve_was_lost_is_put_back(
    root: Path,
) -> None:
    # The rename is not synced: after a power cut the row may be there without it.
    with opened_store(root, reserve_size=1) as store:
        commit_layer(store, "c", file="content")
        directory = Path(store.details("c").directory)
    directory.rename(root / "reserve" / directory.name)
    (root / "reserve/1/fs").mkdir(parents=True, exist_ok=True)

    with opened_store(root) as store:
        assert store.check() == []
        assert (fs_of(store, "c") / "file").read_text() == "content"
        assert os.listdir(root / "reserve") == []


def test_files_of_others_stay(root: Path) -> None:
    with opened_store(root):
        pass
    (root / "snapshots/notes").write_text("mine")

    with opened_store(root):
        assert (root / "snapshots/notes").read_text() == "mine"


def test_an_older_database_is_refused_and_nothing_is_discarded(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "old")
    shutil.copy(root / "metadata.db", root.parent / "backup.db")
    with opened_store(root) as store:
        commit_layer(store, "new", "old", file="precious")
    shutil.copy(root.parent / "backup.db", root / "metadata.db")
    before = disk_image(root)

    with (
        pytest.raises(DataLossError, match="older than the snapshots"),
        opened_store(root),
    ):
        pass

    assert disk_image(root) == before


def test_numbers_are_not_given_anew_after_a_removal(root: Path) -> None:
    seen = set()
    for _ in range(4):
        with opened_store(root) as store:
            store.prepare("a")
            seen.add(store.details("a").directory)
            store.remove("a")

    assert len(seen) == 4


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_mount_on_a_leftover_does_not_keep_the_store_closed(root: Path) -> None:
    with opened_store(root):
        pass
    leftover = root / "staging/6"
    leftover.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", leftover], check=True)
    try:
        with opened_store(root) as store:
            store.prepare("a")
            assert [finding.code for finding in store.check()] == ["orphan"]
            assert store.reclaim() == []
    finally:
        subprocess.run(["umount", leftover], check=True)

    with opened_store(root) as store:
        assert store.check() == []
