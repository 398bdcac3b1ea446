"""Snapshot directories: modes, owners, limits, and the way into the trash."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from snapfs.errors import ResourceExhaustedError
from snapfs.model import Usage
from snapfs.state import SnapshotDirectories, StatePaths
from support.stores import commit_layer, fs_of, opened_store

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask-{:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("umask")
def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with opened_store(root) as store:
        store.prepare("a")
        directory = Path(store.details("a").directory)

        assert mode(directory) & 0o077 == 0
        assert mode(directory / "fs") == 0o755
        assert mode(directory / "work") == 0o711
        assert mode(directory / "snapshot.log") == 0o600
        assert mode(root / "snapshots") & 0o077 == 0
        assert mode(root / "metadata.db") == 0o600


def test_a_view_has_no_work_directory(tmp_path: Path) -> None:
    with opened_store(tmp_path / "store") as store:
        commit_layer(store, "base")
        store.view("v", "base")

        names = sorted(os.listdir(store.details("v").directory))

        assert names == ["fs", "snapshot.log"]


@needs_root
@pytest.mark.root
def test_the_root_directory_belongs_to_whom_the_parents_does(tmp_path: Path) -> None:
    with opened_store(tmp_path / "store") as store:
        store.prepare("base-key")
        os.chown(fs_of(store, "base-key"), 1234, 5678)
        store.commit("base", "base-key")

        store.prepare("child", "base")

        status = fs_of(store, "child").stat()
        assert (status.st_uid, status.st_gid) == (1234, 5678)


@needs_root
@pytest.mark.root
def test_the_root_directory_belongs_to_the_mapped_root(tmp_path: Path) -> None:
    labels = {
        "containerd.io/snapshot/uidmapping": "0:100000:65536",
        "containerd.io/snapshot/gidmapping": "0:200000:65536",
    }
    with opened_store(tmp_path / "store") as store:
        store.prepare("a", labels=labels)

        status = fs_of(store, "a").stat()
        assert (status.st_uid, status.st_gid) == (100000, 200000)


@needs_root
@pytest.mark.root
def test_a_set_group_id_root_does_not_give_its_group_to_a_child(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    with opened_store(root) as store:
        commit_layer(store, "base")
        os.chown(root / "staging", 0, 4321)
        os.chmod(root / "staging", 0o2700)

        store.prepare("child", "base")

        status = fs_of(store, "child").stat()
        assert (status.st_uid, status.st_gid) == (0, 0)


class RecordingLimiter:
    """A limiter that remembers what the directory held when it was asked."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.calls: list[tuple[list[str], dict[str, str]]] = []
        self._refuses = refuses

    def wants(self, labels: Mapping[str, str]) -> bool:
        return "size" in labels or self._refuses

    def usage(self, directory: str) -> Usage | None:
        return None

    def limit(self, directory: str, labels: Mapping[str, str]) -> None:
        self.calls.append((os.listdir(directory), dict(labels)))
        if self._refuses:
            raise ResourceExhaustedError("no project number is free")


def test_a_limit_is_set_before_anything_is_made(tmp_path: Path) -> None:
    limiter = RecordingLimiter()
    with opened_store(tmp_path / "store", limiter=limiter) as store:
        store.prepare("a", labels={"size": "10g"})

    assert limiter.calls == [([], {"size": "10g"})]


def test_a_refused_limit_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with opened_store(root, limiter=RecordingLimiter(refuses=True)) as store:
        with pytest.raises(ResourceExhaustedError, match="project"):
            store.prepare("a")

        assert list(store.walk()) == []
        assert store.check() == []
    assert os.listdir(root / "staging") == os.listdir(root / "snapshots") == []


@pytest.fixture
def directories(tmp_path: Path) -> SnapshotDirectories:
    made = SnapshotDirectories(StatePaths(str(tmp_path)))
    made.create_parents()
    return made


def test_what_is_gone_already_need_not_be_discarded(
    directories: SnapshotDirectories, tmp_path: Path
) -> None:
    directories.discard(str(tmp_path / "snapshots/12"))

    assert directories.trash() == []


def test_names_in_the_trash_do_not_collide(
    directories: SnapshotDirectories, tmp_path: Path
) -> None:
    for _ in range(3):
        (tmp_path / "snapshots/12/fs").mkdir(parents=True)
        directories.discard(str(tmp_path / "snapshots/12"))

    assert sorted(directories.trash()) == ["12", "12.1", "12.2"]
    assert directories.published() == []


def test_a_file_is_discarded_like_a_directory(
    directories: SnapshotDirectories, tmp_path: Path
) -> None:
    (tmp_path / "staging/12").write_text("not ours")

    directories.discard(str(tmp_path / "staging/12"))

    assert directories.trash() == ["12"]
