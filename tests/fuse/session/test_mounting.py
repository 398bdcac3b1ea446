from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from snapfs import mountinfo, syscalls
from snapfs.fuse.session import MountOptions, mount, mounting
from snapfs.fuse.session.connection import device_at, escaped
from support.fuse_memory import MemoryFilesystem, served
from support.refusals import refused

pytestmark = [pytest.mark.root, pytest.mark.fuse]

OPTIONS = MountOptions(
    source=b"layers",
    subtype=b"snapfs-test",
    is_read_only=True,
    allow_other=True,
    max_read=65536,
    nosuid=True,
    nodev=True,
    noexec=True,
    noatime=True,
)


@pytest.fixture(params=["new", "old"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which mount API; "old" as where fsopen(2) is missing."""

    def missing(_fstype: str) -> int:
        raise OSError(errno.ENOSYS, "fsopen")

    if request.param == "old":
        monkeypatch.setattr(syscalls, "fsopen", missing)
    return str(request.param)


def test_options_reach_the_mount_table(tmp_path: Path, way: str) -> None:
    filesystem = MemoryFilesystem({b"a": b"data"})

    with served(filesystem, tmp_path / "mnt", options=OPTIONS):
        entry = mountinfo.find(str(tmp_path / "mnt"))
        with refused(errno.EROFS):
            os.unlink(tmp_path / "mnt" / "a")

    assert way in ("new", "old")
    assert entry is not None
    assert (entry.type, entry.source) == ("fuse.snapfs-test", "layers")
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= set(entry.options)
    shown = {"ro", "allow_other", "default_permissions", "max_read=65536"}
    assert shown <= set(entry.super_options)


def test_the_plain_mount_is_private_and_writable(tmp_path: Path, way: str) -> None:
    filesystem = MemoryFilesystem({b"a": b"data"})

    with served(filesystem, tmp_path / "mnt") as session:
        entry = mountinfo.find(str(tmp_path / "mnt"))
        os.unlink(tmp_path / "mnt" / "a")
        device = session.connection.device

    assert way in ("new", "old")
    assert entry is not None
    assert not entry.is_read_only
    assert "allow_other" not in entry.super_options
    assert entry.device == device


def test_read_ahead_is_raised_where_we_may(tmp_path: Path) -> None:
    with served(MemoryFilesystem({}), tmp_path / "mnt") as session:
        path = Path(f"/sys/class/bdi/{session.connection.device}/read_ahead_kb")
        read_ahead = path.read_text().strip()

    assert read_ahead == "1024"


def test_a_target_with_unusual_bytes_is_found_in_the_mount_table(
    tmp_path: Path,
) -> None:
    target = tmp_path / "a b\\c\td#e"

    with served(MemoryFilesystem({}), target) as session:
        is_mounted = session.connection.is_mounted()

    assert is_mounted
    assert device_at(os.fsencode(target)) == ""
    assert escaped(b"a b\\#") == b"a\\040b\\134#"


def test_unmounting_leaves_what_another_has_mounted_there(tmp_path: Path) -> None:
    below = MemoryFilesystem({b"below": b""})
    above = MemoryFilesystem({b"above": b""})
    mnt = tmp_path / "mnt"

    with served(below, mnt) as first:
        with served(above, mnt):
            first.connection.unmount()
            names = os.listdir(mnt)
        names += os.listdir(mnt)

    assert names == ["above", "below"]
    assert mountinfo.find(str(mnt)) is None


def test_a_file_is_no_mount_point(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError):
        mount(os.fsencode(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        mount(os.fsencode(tmp_path / "missing"))


def test_a_missing_device_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "no-fuse"))

    with pytest.raises(FileNotFoundError, match="no-fuse"):
        mount(os.fsencode(tmp_path))


def test_a_failed_mount_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(syscalls, "move_mount", fail)
    before = os.listdir("/proc/self/fd")

    with refused(errno.ENOMEM):
        mount(os.fsencode(tmp_path))

    assert os.listdir("/proc/self/fd") == before
