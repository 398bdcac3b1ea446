"""Images of a fixed size: a full one is ENOSPC for its snapshot, and for no other."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import snapfs
from snapfs import mountinfo
from snapfs.assembly.repairing import repair_store
from snapfs.assembly.settings import StoreSettings
from snapfs.driver import EXTRACTION_LABEL
from snapfs.errors import ResourceExhaustedError
from snapfs.kernel_overlay import OverlayDriver
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.manager import SnapshotManager
from snapfs.overlay_format import SIZE_LABEL, XattrPrefix
from snapfs.state import StatePaths
from snapfs.state.loop_images import LoopImages
from snapfs.syscalls import umount2
from support.disks import small_disk
from support.own_mounts import own_mounts
from support.stores import commit_layer, fs_of, opened_store

pytestmark = [pytest.mark.root, pytest.mark.slow]

MIB = 1 << 20
LIMIT = {SIZE_LABEL: "24M"}


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    place.mkdir(mode=0o700)
    return place


@contextlib.contextmanager
def opened(root: Path, default: int = 0) -> Iterator[SnapshotManager]:
    images = LoopImages(StatePaths(str(root)), default, EXTRACTION_LABEL)
    drivers = {"kernel": OverlayDriver(xattr_prefix=XattrPrefix.TRUSTED)}
    with opened_store(root, images=images, drivers=drivers, reserve_size=2) as store:
        yield store


@pytest.fixture
def store(root: Path) -> Iterator[SnapshotManager]:
    with opened(root) as made:
        commit_layer(made, "base", file="content")
        yield made
        for info in list(made.walk()):
            if info.name != "base":
                made.remove(info.name)
        assert loops(root) == []


def loops(root: Path) -> list[str]:
    """Return what is mounted below the store, and the images that there are."""
    mounted = [entry.target for entry in mountinfo.mounts_below(str(root))]
    images = os.listdir(root / "images") if (root / "images").exists() else []
    return mounted + images


def fill(path: Path) -> int:
    """Write until it is refused; return how much there was room for."""
    with (
        path.open("wb", buffering=0) as file,
        pytest.raises(OSError, match=os.strerror(errno.ENOSPC)),
    ):
        write_on(file.fileno())
    return path.stat().st_size


def write_on(fd: int) -> None:
    while True:
        os.write(fd, bytes(64 << 10))


def test_a_full_image_is_full_for_its_container_alone(
    store: SnapshotManager, tmp_path: Path
) -> None:
    targets = [tmp_path / name for name in ("limited", "free")]
    mount_of = {
        targets[0]: store.prepare("limited", "base", LIMIT),
        targets[1]: store.prepare("free", "base"),
    }
    for target in targets:
        target.mkdir()
        mount_all(mount_of[target], str(target))
    try:
        room = fill(targets[0] / "much")
        (targets[0] / "much").unlink()
        (targets[0] / "file").write_text("changed")
        (targets[1] / "much").write_bytes(bytes(32 * MIB))
    finally:
        for target in targets:
            unmount(str(target), lazy=True)

    assert 8 * MIB < room < 24 * MIB
    assert (fs_of(store, "limited") / "file").read_text() == "changed"
    assert store.check() == []


def test_the_whole_size_is_taken_at_once_and_given_back(
    store: SnapshotManager, root: Path
) -> None:
    store.prepare("limited", "base", LIMIT)
    [image] = (root / "images").iterdir()
    allocated = image.stat().st_blocks * 512
    store.remove("limited")

    assert allocated >= 24 * MIB
    assert loops(root) == []


def test_a_committed_snapshot_keeps_its_image_and_can_be_a_parent(
    store: SnapshotManager, tmp_path: Path
) -> None:
    store.prepare("limited", "base", LIMIT)
    (fs_of(store, "limited") / "new").write_text("new")
    store.commit("layer", "limited")
    mounts = store.view("look", "layer")
    target = tmp_path / "target"
    target.mkdir()
    mount_all(mounts, str(target))
    try:
        found = sorted(os.listdir(target))
    finally:
        unmount(str(target))
    store.remove("look")

    assert found == ["file", "new"]
    assert store.check() == []


def test_after_a_restart_of_the_host_the_images_are_mounted_again(root: Path) -> None:
    with opened(root) as store:
        store.prepare("limited", labels=LIMIT)
        (fs_of(store, "limited") / "kept").write_text("kept")
        store.prepare("gone", labels=LIMIT)
        number = int(os.path.basename(store.details("gone").directory))
    for entry in mountinfo.mounts_below(str(root)):
        umount2(entry.target, 0)
    os.rename(root / "images" / str(number), root / "images/999999")

    with opened(root) as store:
        assert (fs_of(store, "limited") / "kept").read_text() == "kept"
        assert [finding.code for finding in store.check()] == ["missing-directory"]
        store.remove("gone")
        store.remove("limited")
        store.finish_reclaim()
    assert loops(root) == []


def test_a_service_without_the_setting_goes_on_with_the_images_that_there_are(
    root: Path,
) -> None:
    with opened(root) as store:
        store.prepare("limited", labels=LIMIT)
    paths = StatePaths(str(root))
    images = LoopImages(paths, 0, EXTRACTION_LABEL, makes_new=False)

    with opened_store(root, images=images) as store:
        store.prepare("another", labels=LIMIT)
        assert len(os.listdir(root / "images")) == 1
        store.remove("limited")

    assert loops(root) == []


def test_a_directory_in_use_is_removed_all_the_same(
    store: SnapshotManager, root: Path
) -> None:
    store.prepare("limited", labels=LIMIT)
    with (fs_of(store, "limited") / "open").open("w") as file:
        store.remove("limited")
        file.write("still there")

    store.finish_reclaim()
    assert os.listdir(root / "trash") == []


def test_layers_and_views_have_no_image(root: Path) -> None:
    with opened(root, 24 * MIB) as store:
        store.prepare("layer", labels={EXTRACTION_LABEL: "sha256:a"})
        store.commit("base", "layer")
        store.view("look", "base")
        assert loops(root) == []

        store.prepare("container", "base")
        assert len(loops(root)) == 2
        store.remove("container")


@pytest.mark.parametrize("size", ["1M", "1T"])
def test_an_image_that_cannot_be_made_leaves_nothing(tmp_path: Path, size: str) -> None:
    with small_disk(tmp_path / "disk", "64m") as disk:
        root = disk / "root"
        root.mkdir(mode=0o700)
        with opened(root) as store:
            with pytest.raises(ResourceExhaustedError):
                store.prepare("limited", labels={SIZE_LABEL: size})

            assert list(store.walk()) == []
            assert store.check() == []
        assert loops(root) == []


def test_a_crash_in_between_is_cleaned_up(root: Path) -> None:
    """The image is there and mounted, the row is not."""
    with opened(root) as store:
        commit_layer(store, "base", file="content")
        [number] = store.stage(1)
    images = LoopImages(StatePaths(str(root)), 0, EXTRACTION_LABEL)
    images.make(number, 24 * MIB)

    with opened(root) as store:
        assert loops(root) == []
        assert store.check() == []


def test_a_lost_database_is_made_anew_with_what_lies_in_images(root: Path) -> None:
    settings = StoreSettings(driver="kernel", limit_backend="loop")
    with snapfs.open_store(root, settings) as store:
        store.prepare("plain")
        store.prepare("limited", labels=LIMIT)
        content = Path(store.details("limited").content)
        (content / "kept").write_text("kept")
    for entry in mountinfo.mounts_below(str(root)):
        umount2(entry.target, 0)
    (root / "metadata.db").unlink()

    repair_store(root)

    with snapfs.open_store(root, driver="kernel") as again:
        assert {info.name for info in again.walk()} == {"plain", "limited"}
        assert (content / "kept").read_text() == "kept"
        again.remove("limited")
    assert loops(root) == []
