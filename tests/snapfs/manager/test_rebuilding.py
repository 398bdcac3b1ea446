"""A store whose database is lost: everything that matters comes back."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import DataLossError
from snapfs.manager.rebuilding import Rebuilt, rebuild
from snapfs.model import Info, Kind, NewLayer, SnapshotDetails
from snapfs.state import StatePaths, open_identity
from snapfs.state.sidecar import append_sidecar, read_sidecar
from snapfs.state.staged import StagedDirectory
from support.stores import commit_layer, fs_of, opened_store


def fill(root: Path) -> None:
    """Make a store with everything that a row can say."""
    with opened_store(root, reserve_size=2) as store:
        commit_layer(store, "base", file="content")
        commit_layer(store, "other")
        store.prepare("work", "base", {"a": "b"})
        store.view("look", "base")
        store.update(Info("base", labels={"x": "y"}), ["labels.x"])
        store.prepare("late")
        store.commit("rebased", "late", parent="other")
        [number] = store.stage(1)
        staged = StagedDirectory.create(StatePaths(str(root)), number)
        store.publish([NewLayer("shared", number, "other", shares="base")])
        staged.release()


def described(root: Path) -> dict[str, SnapshotDetails]:
    with opened_store(root) as store:
        assert store.check() == []
        return {details.info.name: details for details in store.list_details()}


def rebuilt(root: Path) -> Rebuilt:
    paths = StatePaths(str(root))
    identity, _ = open_identity(paths, "user.")
    return rebuild(paths, identity)


def lose(root: Path) -> None:
    for path in root.glob("metadata.db*"):
        path.unlink()


def cut(root: Path) -> None:
    os.truncate(root / "metadata.db", 5000)


def overwrite(root: Path) -> None:
    (root / "metadata.db").write_bytes(b"something else" * 1000)


def empty(root: Path) -> None:
    os.truncate(root / "metadata.db", 0)


@pytest.mark.parametrize("damage", [lose, cut, overwrite, empty])
def test_every_snapshot_comes_back_as_it_was(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    root = tmp_path / "store"
    fill(root)
    before = described(root)
    damage(root)
    with pytest.raises(DataLossError, match="check --repair"), opened_store(root):
        pass

    done = rebuilt(root)

    assert done.left_out == []
    assert done.snapshots == len(before)
    assert described(root) == before


def test_the_damaged_database_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    overwrite(root)
    content = (root / "metadata.db").read_bytes()

    first = rebuilt(root)
    second = rebuilt(root)

    assert Path(first.kept).read_bytes() == content
    assert second.kept != first.kept
    assert Path(second.kept).exists()


def test_numbers_are_not_used_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    used = {int(path.name) for path in (root / "snapshots").iterdir()}
    lose(root)
    rebuilt(root)

    with opened_store(root) as store:
        store.prepare("new")
        number = int(fs_of(store, "new").parent.name)

    assert number > max(used) + 64


def sidecar(root: Path, key: str) -> Path:
    with opened_store(root) as store:
        return fs_of(store, key).parent / "snapshot.log"


def test_what_says_nothing_of_itself_is_put_aside_with_what_lies_on_it(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    fill(root)
    damaged = sidecar(root, "other")
    damaged.write_bytes(b"\0" * 4096)
    lose(root)

    done = rebuilt(root)

    assert set(described(root)) == {"base", "work", "look"}
    assert len(done.left_out) == 3
    assert str(root / "lost" / damaged.parent.name) in done.left_out[0]
    # Nothing of it is gone.
    assert (root / "lost" / damaged.parent.name / "fs").is_dir()


def test_of_two_with_one_key_the_later_counts(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    with opened_store(root) as store:
        directory = fs_of(store, "look").parent
        saved = tmp_path / "saved"
        shutil.copytree(directory, saved)
        store.remove("look")
        store.view("look", "other")
        again = fs_of(store, "look").parent
    # A power cut took the rename into the trash back.
    shutil.copytree(saved, directory)
    lose(root)

    done = rebuilt(root)

    assert len(done.left_out) == 1
    assert f"number {again.name}, too" in done.left_out[0]
    assert described(root)["look"].info.parent == "other"


def test_a_name_that_a_commit_never_got_is_that_of_who_got_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    with opened_store(root) as store:
        store.prepare("first")
        first = store.details("first").directory
        # Announced by a commit that a crash cut short, and not mended.
        announced = dataclasses.replace(
            read_sidecar(first), key="name", kind=Kind.COMMITTED
        )
        store.prepare("second")
        store.commit("name", "second")
        acknowledged = store.details("name")
        append_sidecar(first, announced)
    lose(root)

    done = rebuilt(root)

    assert len(done.left_out) == 1
    assert described(root)["name"] == acknowledged


def test_a_shared_layer_that_is_gone_is_found_out(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    shutil.rmtree(fs_of_closed(root, "base"))
    lose(root)

    done = rebuilt(root)

    assert set(described(root)) == {"other", "rebased"}
    assert any("'base': its content is gone" in line for line in done.left_out)


def fs_of_closed(root: Path, key: str) -> Path:
    with opened_store(root) as store:
        return fs_of(store, key)


def test_without_any_directory_there_is_nothing_to_rebuild_from(tmp_path: Path) -> None:
    root = tmp_path / "store"
    fill(root)
    lose(root)
    shutil.rmtree(root / "snapshots")

    with pytest.raises(DataLossError, match="mount or restore"):
        rebuilt(root)
