"""A full disk: each verb says so and changes nothing; with space, all goes on."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs import open_store
from snapfs.errors import ResourceExhaustedError
from snapfs.manager import SnapshotManager
from snapfs.model import Durability, Info
from support.stores import commit_layer, disk_image, fs_of, opened_store

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small filesystem"),
]

IMAGE_BYTES: Final = 24 << 20
CHUNKS: Final = (1 << 20, 4096, 1)  # the last bytes of the last block too

Call = Callable[[SnapshotManager], object]

VERBS: dict[str, Call] = {
    "prepare": lambda store: store.prepare("new", "base"),
    "view": lambda store: store.view("new", "base"),
    "commit": lambda store: store.commit("new", "a"),
    "update": lambda store: store.update(Info("a", labels={"l": "2"})),
    "update-long": lambda store: store.update(Info("a", labels={"l": "x" * 4000})),
}


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small filesystem of its own."""
    target = tmp_path / "disk"
    target.mkdir()
    if request.param == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(target)]
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        # No blocks for root alone: root must meet the end of the disk too.
        subprocess.run(["mkfs.ext4", "-q", "-m0", image], check=True)
        mount = ["mount", "-o", "loop", str(image), str(target)]
    subprocess.run(mount, check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no byte free on ``disk`` during the block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for chunk in CHUNKS:
            # The end of the disk is what is wanted here.
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(chunk))
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())
    try:
        yield
    finally:
        filler.unlink()


def populate(store: SnapshotManager) -> None:
    commit_layer(store, "base", file="base")
    store.prepare("a", "base", {"l": "1"})


def test_removals_on_a_full_disk_free_space_again(disk: Path) -> None:
    with opened_store(disk / "store") as store:
        populate(store)
        for number in range(40):
            store.prepare(f"more-{number}", "base")
        with filled(disk):
            for number in range(40):
                store.remove(f"more-{number}")
            store.remove("a")

            assert store.check() == []
        store.reclaim()

        assert os.stat(disk / "store" / "ballast").st_blocks > 0
    with opened_store(disk / "store") as store:
        assert [info.name for info in store.walk()] == ["base"]
        assert store.check() == []


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_on_a_full_disk_says_so_and_changes_nothing(
    disk: Path, name: str
) -> None:
    with opened_store(disk / "store", durability=Durability.LAYER) as store:
        populate(store)
        before = {info.name: info for info in store.walk()}
        with filled(disk):
            with pytest.raises(ResourceExhaustedError):
                VERBS[name](store)

            assert {info.name: info for info in store.walk()} == before
            assert store.check() == []

        VERBS[name](store)
        assert store.check() == []
    with opened_store(disk / "store") as store:
        assert store.check() == []
        assert (fs_of(store, "base") / "file").read_text() == "base"


def test_a_store_on_a_full_disk_can_be_opened_and_is_not_changed(
    disk: Path,
) -> None:
    root = disk / "store"
    with opened_store(root) as store:
        populate(store)
    before = disk_image(root / "snapshots")

    with filled(disk):
        with opened_store(root) as store:
            assert [info.name for info in store.walk()] == ["base", "a"]
            assert store.check() == []

        assert disk_image(root / "snapshots") == before

    with opened_store(root) as store:
        assert store.check() == []
        store.remove("a")


def test_a_store_that_cannot_be_made_on_a_full_disk_is_made_later(disk: Path) -> None:
    root = disk / "store"
    root.mkdir()

    with (
        filled(disk),
        pytest.raises((ResourceExhaustedError, OSError)),
        opened_store(root),
    ):
        pass

    with opened_store(root) as store:
        populate(store)
        assert store.check() == []


@pytest.fixture(params=["tmpfs", "ext4"])
def few_inodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small filesystem that has room for more bytes than files."""
    target = tmp_path / "disk"
    target.mkdir()
    if request.param == "tmpfs":
        words = ["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=400", "tmpfs"]
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m0", "-N", "400", image], check=True)
        words = ["mount", "-o", "loop", str(image)]
    subprocess.run([*words, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@contextlib.contextmanager
def without_inodes(disk: Path) -> Iterator[None]:
    """Leave no file to be made on ``disk`` during the block."""
    place = disk / "many"
    place.mkdir()
    with contextlib.suppress(OSError):  # the end of the inodes is what is wanted here
        for number in itertools.count():
            (place / str(number)).touch()
    assert os.statvfs(disk).f_favail == 0
    try:
        yield
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_without_inodes_is_done_or_refused_as_a_whole(
    few_inodes: Path, name: str
) -> None:
    root = few_inodes / "store"
    with opened_store(root, durability=Durability.LAYER) as store:
        populate(store)
        before = {info.name: info for info in store.walk()}
        with without_inodes(few_inodes):
            try:
                VERBS[name](store)
                is_done = True
            except ResourceExhaustedError:
                is_done = False
                assert {info.name: info for info in store.walk()} == before
            assert store.check() == []

        assert is_done == (name in ("commit", "update"))  # which make no file
        if not is_done:
            VERBS[name](store)
        assert store.check() == []
    with opened_store(root) as store:
        assert store.check() == []
        assert (fs_of(store, "base") / "file").read_text() == "base"


def test_removals_without_inodes_free_some(few_inodes: Path) -> None:
    root = few_inodes / "store"
    with opened_store(root) as store:
        populate(store)
        store.prepare("more", "base")
        with without_inodes(few_inodes):
            store.remove("more")
            store.reclaim()

            assert os.statvfs(few_inodes).f_favail > 0
            assert store.check() == []
    with without_inodes(few_inodes), open_store(root, create=False) as owned:
        owned.remove("a")

    with opened_store(root) as store:
        assert [info.name for info in store.walk()] == ["base"]
        assert store.check() == []


@pytest.mark.slow
def test_a_store_survives_filling_up_in_the_middle_of_its_work(disk: Path) -> None:
    root = disk / "store"
    made: set[str] = set()
    with opened_store(root) as store:
        commit_layer(store, "base", file="base")
        with contextlib.suppress(ResourceExhaustedError):
            for number in range(10_000):
                store.prepare(f"a{number}", "base", {"l": "x" * 4000})
                made.add(f"a{number}")

        assert {info.name for info in store.walk()} == made | {"base"}
        assert store.check() == []
    assert len(made) < 10_000
