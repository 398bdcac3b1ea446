"""Reclaiming: all garbage goes, and nothing that a verb is at work on."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from snapfs.errors import AlreadyExistsError, UnavailableError
from snapfs.manager import SnapshotManager
from snapfs.model import Garbage
from snapfs.state import SnapshotDirectories
from snapfs.state.sidecar import SidecarRecord
from snapfs.worker.removal import Removal
from support.stores import commit_layer, fs_of, opened_store


def make_orphans(root: Path) -> set[str]:
    """Leave what crashes leave: directories without rows."""
    (root / "snapshots/7/fs").mkdir(parents=True)
    (root / "snapshots/7/fs/file").write_text("x" * 5000)
    (root / "staging/8").mkdir()
    return {str(root / "snapshots/7"), str(root / "staging/8")}


def test_a_removed_snapshot_is_reclaimed_in_the_background(
    store: SnapshotManager, root: Path
) -> None:
    commit_layer(store, "c", file="x")

    store.remove("c")
    store.finish_reclaim()

    assert os.listdir(root / "snapshots") == os.listdir(root / "trash") == []


def test_a_dry_run_measures_and_removes_nothing(
    store: SnapshotManager, root: Path
) -> None:
    store.prepare("a")
    orphans = make_orphans(root)
    (root / "trash/9").mkdir()

    found = store.reclaim(dry_run=True)

    assert {item.path for item in found} == orphans | {str(root / "trash/9")}
    by_path = {item.path: item.usage for item in found}
    usage = by_path[str(root / "snapshots/7")]
    assert usage is not None
    assert usage.inodes == 3
    assert usage.size_bytes >= 5000
    assert (root / "snapshots/7/fs/file").exists()
    store.reclaim()


def test_reclaiming_removes_every_orphan_and_says_why(
    store: SnapshotManager, root: Path
) -> None:
    store.prepare("a")
    make_orphans(root)
    assert sorted(finding.code for finding in store.check()) == ["orphan", "orphan"]

    removed = store.reclaim()

    assert sorted(item.reason for item in removed) == [
        "its making was cut short",
        "no snapshot has it",
    ]
    assert os.listdir(root / "staging") == os.listdir(root / "trash") == []
    assert os.listdir(root / "snapshots") == [
        os.path.basename(store.details("a").directory)
    ]


def test_what_the_background_has_removed_is_not_reported_again(
    store: SnapshotManager, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`snapfs cleanup` listed it with a size of 0 B."""
    (root / "trash/9").mkdir()
    listed, waits = threading.Event(), threading.Event()
    trash = SnapshotDirectories.trash

    def pause_once(directories: SnapshotDirectories) -> list[str]:
        names = trash(directories)
        if not listed.is_set():
            listed.set()
            waits.wait()
        return names

    monkeypatch.setattr(SnapshotDirectories, "trash", pause_once)
    store.cleanup()
    listed.wait()  # the background has taken its turn
    found: list[Garbage] = []
    asking = threading.Thread(target=lambda: found.extend(store.reclaim()))
    asking.start()
    waits.set()
    asking.join()

    assert found == []
    assert os.listdir(root / "trash") == []


def test_files_of_others_are_left_and_reported(root: Path) -> None:
    with opened_store(root) as store:
        (root / "snapshots/notes.txt").write_text("mine")

        assert store.reclaim() == []
        assert [finding.code for finding in store.check()] == ["foreign-file"]
        assert (root / "snapshots/notes.txt").read_text() == "mine"


def test_what_cannot_be_moved_does_not_stop_the_rest(
    store: SnapshotManager, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_orphans(root)
    rename = os.rename

    def refuse_one(source: str, target: str) -> None:
        if source.endswith("staging/8"):
            raise OSError(errno.EBUSY, "Device or resource busy")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse_one)
        assert len(store.reclaim()) == 1

    assert len(store.reclaim()) == 1


def test_the_background_goes_on_after_a_failure(
    store: SnapshotManager, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def no_descriptors(_self: SnapshotDirectories) -> list[str]:
        failed.set()
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotDirectories, "trash", no_descriptors)
        store.cleanup()
        failed.wait()
    (root / "trash/9").mkdir()
    store.cleanup()

    wait_for(lambda: not os.listdir(root / "trash"))


def test_a_full_trash_goes_in_few_requests(root: Path) -> None:
    requests: list[Sequence[str]] = []
    with opened_store(root) as store:
        worker = store._reclaimer._worker
        remove = worker.remove

        def counted_remove(
            directory: str, names: Sequence[str], *, measured: bool
        ) -> list[Removal]:
            requests.append(names)
            return remove(directory, names, measured=measured)

        worker.remove = counted_remove  # type: ignore[method-assign]  # counts
        for number in range(200):
            (root / "trash" / str(number) / "fs").mkdir(parents=True)

        removed = store.reclaim()

        assert len(removed) == 200
        assert {item.usage.inodes for item in removed if item.usage} == {2}
        assert len(requests) < 10
        assert os.listdir(root / "trash") == []


def test_an_entry_that_kills_the_worker_does_not_keep_the_others(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened_store(root) as store:
        worker = store._reclaimer._worker
        remove = worker.remove

        def dying_remove(
            directory: str, names: Sequence[str], *, measured: bool
        ) -> list[Removal]:
            if "bad" in names:
                raise UnavailableError("the worker process died")
            return remove(directory, names, measured=measured)

        worker.remove = dying_remove  # type: ignore[method-assign]  # dies
        for name in ("1", "bad", "2"):
            (root / "trash" / name).mkdir()

        removed = store.reclaim()

        assert {os.path.basename(item.path) for item in removed} == {"1", "2"}
        assert os.listdir(root / "trash") == ["bad"]
        assert caplog.messages == [
            f"cannot reclaim {root}/trash/bad: the worker process died"
        ]


def test_closing_ends_a_removal_that_is_under_way(root: Path) -> None:
    started = threading.Event()
    with opened_store(root) as store:
        worker = store._reclaimer._worker
        remove = worker.remove

        def stopped_remove(
            directory: str, names: Sequence[str], *, measured: bool
        ) -> list[Removal]:
            # A worker that never answers, as one that removes millions of files.
            worker.measure("/nonexistent")
            assert worker._process is not None
            worker._process.send_signal(signal.SIGSTOP)
            started.set()
            return remove(directory, names, measured=measured)

        worker.remove = stopped_remove  # type: ignore[method-assign]  # a slow worker
        store.prepare("a")
        store.remove("a")
        started.wait()

    assert len(os.listdir(root / "trash")) == 1
    with opened_store(root) as store:
        assert len(store.reclaim()) == 1


def during(
    patch: pytest.MonkeyPatch, owner: type, name: str, action: Callable[[], object]
) -> None:
    """Run ``action`` right after the next call of ``owner.name``."""
    original = getattr(owner, name)

    def call(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)
        patch.undo()
        action()
        return result

    patch.setattr(owner, name, call)


@pytest.mark.parametrize("step", ["stage", "publish"])
def test_a_creation_that_is_under_way_is_no_garbage(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.extend((store.check(), store.reclaim(dry_run=True), store.reclaim()))

    during(monkeypatch, SnapshotDirectories, step, look)

    store.prepare("a")

    assert seen == [[], [], []]
    assert fs_of(store, "a").is_dir()


def test_a_creation_that_ends_during_a_listing_is_no_garbage(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It was listed in staging, and is not at work any more when it is looked at.
    listed, finished = threading.Event(), threading.Event()
    staged = SnapshotDirectories.staged
    stage = SnapshotDirectories.stage

    def list_slowly(self: SnapshotDirectories) -> list[str]:
        names = staged(self)
        listed.set()
        finished.wait()
        return names

    def stage_and_be_listed(
        self: SnapshotDirectories,
        record: SidecarRecord,
        *,
        with_work: bool,
        fs_owner: tuple[int, int] | None,
    ) -> None:
        stage(self, record, with_work=with_work, fs_owner=fs_owner)
        checking.start()
        listed.wait()

    findings: list[object] = []
    checking = threading.Thread(target=lambda: findings.extend(store.check()))
    monkeypatch.setattr(SnapshotDirectories, "staged", list_slowly)
    monkeypatch.setattr(SnapshotDirectories, "stage", stage_and_be_listed)

    store.prepare("a")
    finished.set()
    checking.join()

    assert findings == []


def test_a_removal_that_is_under_way_leaves_no_orphan(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare("a")
    findings: list[object] = []
    remove = store.metadata.remove

    def remove_and_look(key: str) -> object:
        row = remove(key)
        findings.extend(store.check())
        return row

    monkeypatch.setattr(store.metadata, "remove", remove_and_look)

    store.remove("a")

    assert findings == []


def test_reclaiming_beside_creations_loses_nothing(store: SnapshotManager) -> None:
    done = threading.Event()
    failures: list[object] = []

    def reclaim() -> None:
        while not done.is_set():
            failures.extend(store.check())
            store.reclaim()

    def create(worker: int) -> None:
        for turn in range(25):
            key = f"{worker}-{turn}"
            store.prepare(key)
            (fs_of(store, key) / "mine").write_text(key)
            if turn % 3 == 0:
                store.commit(f"c-{key}", key)
            if turn % 3 == 1:
                store.remove(key)

    reclaiming = threading.Thread(target=reclaim)
    creating = [threading.Thread(target=create, args=(worker,)) for worker in range(4)]
    for thread in (reclaiming, *creating):
        thread.start()
    for thread in creating:
        thread.join()
    done.set()
    reclaiming.join()

    assert failures == []
    names = {info.name for info in store.walk()}
    assert len(names) == 4 * 17
    for name in names:
        assert (fs_of(store, name) / "mine").read_text() == name.removeprefix("c-")


def test_the_same_key_from_many_threads_is_made_once(
    store: SnapshotManager, root: Path
) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def prepare() -> None:
        start.wait()
        try:
            store.prepare("key")
            outcomes.append("made")
        except AlreadyExistsError:
            outcomes.append("taken")

    threads = [threading.Thread(target=prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["made"] + ["taken"] * 5
    assert len(os.listdir(root / "snapshots")) == 1


def wait_for(claim: Callable[[], bool]) -> None:
    """Return once ``claim`` holds; a test that hangs is ended by its runner."""
    pause = threading.Event()
    while not claim():
        pause.wait(0.005)
