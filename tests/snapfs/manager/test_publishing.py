"""Layers that were staged elsewhere become committed snapshots, all or none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    SnapfsError,
)
from snapfs.manager import SnapshotManager
from snapfs.metadata import MetadataStore
from snapfs.model import Durability, Kind, NewLayer, Usage
from snapfs.state import StatePaths
from snapfs.state.staged import StagedDirectory
from support.stores import FakeDriver, commit_layer, fs_of, opened_store


def _paths(store: SnapshotManager) -> StatePaths:
    return StatePaths(store.status().root)


@contextlib.contextmanager
def _staged(
    store: SnapshotManager, *contents: str, is_tidy: bool = True
) -> Iterator[list[int]]:
    """Stage a directory for each of ``contents``: a file in it, or "" for no fs.

    Who is tidy removes what was not published.
    """
    numbers = store.stage(len(contents))
    with contextlib.ExitStack() as held:
        for number, content in zip(numbers, contents, strict=True):
            directory = StagedDirectory.create(_paths(store), number)
            held.callback(directory.release)
            if is_tidy:
                path = f"{_paths(store).staging}/{number}"
                held.callback(shutil.rmtree, path, ignore_errors=True)
            if content:
                descriptor = directory.make_fs()
                held.callback(os.close, descriptor)
                name = os.open(
                    content, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=descriptor
                )
                os.close(name)
        yield numbers


def test_published_layers_are_committed_snapshots_in_one_chain(
    store: SnapshotManager,
) -> None:
    with _staged(store, "a", "b") as (first, second):
        store.publish(
            [
                NewLayer("base", first, labels={"k": "v"}, usage=Usage(7, 3)),
                NewLayer("top", second, parent="base"),
            ]
        )

    base, top = store.details("base"), store.details("top")
    assert (base.info.kind, base.info.labels, base.usage) == (
        Kind.COMMITTED,
        {"k": "v"},
        Usage(7, 3),
    )
    assert top.info.parent == "base"
    assert os.listdir(fs_of(store, "base")) == ["a"]
    assert os.listdir(fs_of(store, "top")) == ["b"]
    assert top.lowerdirs == (str(fs_of(store, "base")),)
    assert store.check() == []


def test_published_layers_are_there_after_the_store_was_opened_anew(
    tmp_path: Path,
) -> None:
    with (
        opened_store(tmp_path / "root", durability=Durability.IMAGE) as store,
        _staged(store, "a") as (number,),
    ):
        store.publish([NewLayer("base", number)])

    with opened_store(tmp_path / "root") as store:
        assert store.details("base").durability is Durability.IMAGE
        assert store.check() == []


def test_a_shared_layer_has_no_content_of_its_own(store: SnapshotManager) -> None:
    commit_layer(store, "layer")
    commit_layer(store, "other")
    with _staged(store, "") as (number,):
        store.publish([NewLayer("again", number, parent="other", shares="layer")])
    store.prepare("a", "again")

    store.remove("layer")
    store.finish_reclaim()

    lowerdir = store.mounts("a")[0].options[0]
    content = lowerdir.removeprefix("lowerdir=").split(":")[0]
    assert os.path.isdir(content), "the last user of a layer keeps it"
    assert not os.path.exists(f"{store.details('again').directory}/fs")
    assert store.check() == []


def test_the_last_of_those_who_share_a_layer_removes_it(
    store: SnapshotManager,
) -> None:
    commit_layer(store, "layer")
    with _staged(store, "") as (number,):
        store.publish([NewLayer("again", number, shares="layer")])

    store.remove("layer")
    store.remove("again")
    store.finish_reclaim()

    assert os.listdir(_paths(store).snapshots) == []


def test_a_layer_with_an_opaque_root_ends_the_chain(store: SnapshotManager) -> None:
    commit_layer(store, "base")
    with _staged(store, "x") as (number,):
        store.publish([NewLayer("top", number, parent="base", root_opaque=True)])

    store.prepare("a", "top")

    assert store.mounts("a")[0].options[0] == f"lowerdir={fs_of(store, 'top')}"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(
            {"name": "base"}, AlreadyExistsError, "already exists", id="name-taken"
        ),
        pytest.param({"name": ""}, InvalidArgumentError, "needs a key", id="no-name"),
        pytest.param(
            {"parent": "nobody"}, NotFoundError, "'nobody' does not", id="no-parent"
        ),
        pytest.param(
            {"parent": "active"}, InvalidArgumentError, "is active", id="active-parent"
        ),
        pytest.param(
            {"shares": "nobody"}, NotFoundError, "'nobody' does not", id="no-share"
        ),
        pytest.param(
            {"snapshot_id": 10**9}, InvalidArgumentError, "no number", id="no-number"
        ),
        pytest.param(
            {"snapshot_id": 1}, InvalidArgumentError, "no number", id="number-taken"
        ),
        pytest.param(
            {"snapshot_id": 3}, NotFoundError, "nothing is staged", id="not-staged"
        ),
        pytest.param(
            {"labels": {"k": "v" * 5000}}, InvalidArgumentError, "5001", id="long-label"
        ),
    ],
)
def test_what_cannot_be_published_changes_nothing(
    store: SnapshotManager,
    change: dict[str, object],
    error: type[SnapfsError],
    message: str,
) -> None:
    commit_layer(store, "base")
    store.prepare("active", "base")
    store.stage(1)
    before = sorted(info.name for info in store.walk())
    with _staged(store, "a", "b") as (first, second):
        good = NewLayer("good", first, parent="base")
        bad = NewLayer(**{"name": "bad", "snapshot_id": second, **change})  # type: ignore[arg-type]  # the table's values fit

        with pytest.raises(error, match=message):
            store.publish([good, bad])

        assert sorted(info.name for info in store.walk()) == before
        assert store.check() == []
        store.publish([good])  # nothing of the attempt is in the way

    assert store.check() == []


def test_a_chain_never_has_the_same_content_twice(store: SnapshotManager) -> None:
    commit_layer(store, "layer")
    commit_layer(store, "middle", "layer")
    with (
        _staged(store, "") as (number,),
        pytest.raises(InvalidArgumentError, match="twice"),
    ):
        store.publish([NewLayer("again", number, parent="middle", shares="layer")])


def test_a_chain_that_is_too_long_is_refused(tmp_path: Path) -> None:
    drivers = {"fake": FakeDriver(max_layers=2)}
    with opened_store(tmp_path / "root", drivers=drivers) as store:
        with _staged(store, "a", "b", "c") as numbers:
            layers = [
                NewLayer(f"l{index}", number, parent=f"l{index - 1}" if index else "")
                for index, number in enumerate(numbers)
            ]

            with pytest.raises(ResourceExhaustedError, match="3 layers"):
                store.publish(layers)

        assert list(store.walk()) == []


def test_a_failed_transaction_leaves_the_staged_directories(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise ResourceExhaustedError("the disk is full")

    with _staged(store, "a") as (number,):
        with monkeypatch.context() as patch:
            patch.setattr(MetadataStore, "publish", fail)
            with pytest.raises(ResourceExhaustedError):
                store.publish([NewLayer("base", number)])

        assert os.listdir(f"{_paths(store).staging}/{number}") == ["fs"]
        store.publish([NewLayer("base", number)])

    assert store.check() == []


def test_cleanup_leaves_what_somebody_is_staging(store: SnapshotManager) -> None:
    with _staged(store, "a", is_tidy=False) as (number,):
        assert store.reclaim() == []
        assert store.check() == []
        assert os.listdir(_paths(store).staging) == [str(number)]

    (garbage,) = store.reclaim()

    assert garbage.reason == "its making was cut short"
    assert os.listdir(_paths(store).staging) == []


def test_opening_leaves_what_somebody_is_staging(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with contextlib.ExitStack() as held:
        with opened_store(root) as store:
            (number,) = held.enter_context(_staged(store, "a"))
        with opened_store(root) as store:
            store.publish([NewLayer("base", number)])
            assert store.check() == []

    with opened_store(root) as store:
        assert os.listdir(fs_of(store, "base")) == ["a"]


def test_more_numbers_than_any_image_needs_are_refused(store: SnapshotManager) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot stage 100000"):
        store.stage(100_000)
