"""The flags of chattr(1) on a mount: no descriptor of the server leads round them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs.syscalls import MNT_DETACH, mount, umount2
from support.fuse_mounts import mounted_union

pytestmark = [pytest.mark.fuse, pytest.mark.root]

# FS_IOC_SETFLAGS and FS_IMMUTABLE_FL of linux/fs.h.
_SETFLAGS: Final = 0x40086602
_IMMUTABLE: Final = 0x10


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Path]:
    """A mount in memory: tmpfs refuses an open alone, not a write."""
    root = tmp_path / "tmpfs"
    root.mkdir()
    mount("tmpfs", root, "tmpfs")
    try:
        lower, upper, work, merged = (
            root / name for name in ("lower", "upper", "work", "merged")
        )
        for path in (lower, upper, work, merged):
            path.mkdir()
        (lower / "lower").write_bytes(b"before")
        with mounted_union([lower], upper, work, merged):
            yield merged
    finally:
        umount2(root, MNT_DETACH)


def _set_flags(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SETFLAGS, struct.pack("@q", flags))
    except OSError as error:
        if error.errno != errno.ENOTTY:
            raise
        pytest.skip("tmpfs has flags since Linux 6.6")
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", ["lower", "new"])
def test_an_immutable_file_is_not_written_to(merged: Path, name: str) -> None:
    path = merged / name
    if name == "new":
        path.write_bytes(b"before")
    _set_flags(path, _IMMUTABLE)

    with pytest.raises(PermissionError), path.open("r+b", buffering=0) as file:
        file.write(b"after")

    assert path.read_bytes() == b"before"
    _set_flags(path, 0)
    path.write_bytes(b"after")
    assert path.read_bytes() == b"after"
