"""Which driver a store, or a mount, gets; and why."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs import mountinfo, open_store
from snapfs.assembly import drivers
from snapfs.assembly.drivers import choose_for_stack, choose_for_store
from snapfs.assembly.mounting import mount_all, unmount
from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.fuse import features
from snapfs.model import Kind, Stack
from snapfs.overlay_format import XattrPrefix
from support.disks import overlay_disk, untyped_disk

TRUSTED = XattrPrefix.TRUSTED

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    for entry in reversed(mountinfo.mounts_below(str(place))):
        unmount(entry.target, lazy=True)


@pytest.fixture
def without_fuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = str(tmp_path / "no-device")
    monkeypatch.setattr("snapfs.fuse.session.mounting.DEVICE", device)


def test_auto_is_the_kernel_where_it_works(tmp_path: Path) -> None:
    choice = choose_for_store(str(tmp_path), TRUSTED, "auto")

    assert choice.name == "kernel"
    assert "no process" in choice.reason


def test_a_disk_without_d_type_gets_fuse_and_works(
    tmp_path: Path, target: Path
) -> None:
    with untyped_disk(tmp_path / "disk") as disk:
        choice = choose_for_store(str(disk), TRUSTED, "auto")
        with open_store(disk) as store:
            assert store.status().driver == "fuse"
            store.prepare("base-active")
            fs = Path(store.details("base-active").content)
            (fs / "gone").write_text("")
            (fs / "kept").write_text("kept")
            store.commit("base", "base-active")

            mount_all(store.prepare("work", "base"), str(target))
            (target / "gone").unlink()
            left = sorted(path.name for path in target.iterdir())
            unmount(str(target))

            assert store.check() == []

    assert (choice.name, left) == ("fuse", ["kept"])
    assert "d_type" in choice.reason


def test_an_overlay_takes_no_whiteouts_from_either_driver(tmp_path: Path) -> None:
    with overlay_disk(tmp_path / "disk") as disk:
        with pytest.raises(UnavailableError, match=r"overlay.*for FUSE.*whiteouts"):
            choose_for_store(str(disk), TRUSTED, "auto")
        with pytest.raises(UnavailableError, match="whiteouts"):
            choose_for_store(str(disk), TRUSTED, "fuse")


@pytest.mark.usefixtures("without_fuse")
def test_fuse_without_its_device_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"FUSE mounts.*No such file"):
        open_store(tmp_path / "store", driver="fuse")

    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("without_fuse")
def test_a_host_without_fuse_still_uses_the_kernel(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        assert store.status().driver == "kernel"


def test_a_store_mounts_what_the_other_driver_has_made(
    tmp_path: Path, target: Path
) -> None:
    root = tmp_path / "store"
    with open_store(root, driver="fuse") as store:
        store.prepare("base-active")
        Path(store.details("base-active").content, "file").write_text("base")
        store.commit("base", "base-active")
        mount_all(store.prepare("work", "base"), str(target))
        assert (target / "file").read_text() == "base"
        unmount(str(target))

    with open_store(root, driver="kernel") as store:
        [mount] = store.mounts("work")
        assert mount.type == "fuse3.snapfs-fuse"
        assert store.details("work").driver == "fuse"
        [mount] = store.prepare("other", "base")
        assert mount.type == "overlay"
        assert store.check() == []


def test_more_layers_than_the_kernel_takes_are_for_fuse() -> None:
    stack = Stack(Kind.VIEW, tuple(f"/layers/{number}" for number in range(501)))

    choice = choose_for_stack(stack, TRUSTED, "auto")

    assert choice.name == "fuse"
    assert "501 layers" in choice.reason


def test_an_ordinary_user_gets_fuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "has_sys_admin", lambda: False)
    stack = Stack(Kind.VIEW, (str(tmp_path),))

    assert choose_for_stack(stack, XattrPrefix.USER, "auto").name == "fuse"
    assert choose_for_stack(stack, XattrPrefix.USER, "kernel").name == "kernel"


def test_a_word_that_is_no_driver_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="'zfs'"):
        choose_for_store(str(tmp_path), TRUSTED, "zfs")


def test_probing_for_fuse_leaves_nothing_and_gives_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # no other tests mount here

    found = {f.name: f for f in features.probe_features(str(tmp_path))}

    assert found["fuse-mount"].available
    assert found["fuse-storage"].available
    assert all(f.evidence and "\n" not in f.evidence for f in found.values())
    assert mountinfo.mounts_below(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_fuse")
def test_a_missing_device_is_a_reason(tmp_path: Path) -> None:
    found = {f.name: f for f in features.probe_features(str(tmp_path))}

    assert not found["fuse-mount"].available
    assert "No such file" in found["fuse-mount"].evidence
