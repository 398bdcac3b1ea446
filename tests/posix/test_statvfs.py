"""statvfs(3)."""

from __future__ import annotations

import errno
import os

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import directory, file, placed
from support.posix_place import Place

pytestmark = placed(file("file"), directory("directory"))


def test_the_numbers_are_those_of_the_filesystem_below(place: Place) -> None:
    # Everything here lies in one directory of one filesystem.
    below = os.statvfs(place.path.parent.parent.parent)

    found = os.statvfs(place.path)

    assert found.f_blocks * found.f_frsize == below.f_blocks * below.f_frsize
    assert found.f_files == below.f_files
    assert found.f_bfree <= found.f_blocks
    assert found.f_bavail <= found.f_bfree
    assert found.f_ffree <= found.f_files
    assert found.f_namemax == 255


def test_every_object_gives_the_same(place: Place) -> None:
    whole = os.statvfs(place.path)
    with opened(place / "file") as fd:
        found = [
            os.fstatvfs(fd),
            os.statvfs(place / "file"),
            os.statvfs(place / "directory"),
        ]

    assert {it.f_blocks for it in found} == {whole.f_blocks}
    assert {it.f_fsid for it in found} == {whole.f_fsid}


def test_a_written_file_takes_space(place: Place) -> None:
    before = os.stat(place / "file").st_blocks

    with opened(place / "file", os.O_WRONLY) as fd:
        os.write(fd, bytes(1 << 20))
        os.fsync(fd)

    assert os.stat(place / "file").st_blocks - before >= (1 << 20) // 512


def test_the_mount_is_writable(place: Place) -> None:
    assert not os.statvfs(place.path).f_flag & os.ST_RDONLY
    with refused(errno.ENOENT):
        os.statvfs(place / "missing")
