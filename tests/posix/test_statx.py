"""statx(2)."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_calls import (
    AT_SYMLINK_NOFOLLOW,
    STATX_BASIC_STATS,
    STATX_BTIME,
    statx,
)
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import GROUP, USER, directory, file, placed, symlink
from support.posix_place import Place

pytestmark = placed(
    file("file", b"x" * 5000, mode=0o640, owner=(USER, GROUP)),
    directory("directory"),
    symlink("link", "file"),
)


@pytest.mark.parametrize("name", ["file", "directory", "link"])
def test_statx_agrees_with_lstat(place: Place, name: str) -> None:
    status = os.lstat(place / name)

    found = statx(place / name, AT_SYMLINK_NOFOLLOW)

    assert found.mask & STATX_BASIC_STATS == STATX_BASIC_STATS
    assert found.ino == status.st_ino
    assert (found.mode, found.nlink) == (status.st_mode, status.st_nlink)
    assert (found.uid, found.gid) == (status.st_uid, status.st_gid)
    assert (found.size, found.blocks) == (status.st_size, status.st_blocks)
    assert found.mtime_ns == status.st_mtime_ns
    assert os.makedev(*found.device) == status.st_dev


def test_statx_follows_links_unless_told(place: Place) -> None:
    assert stat.S_ISREG(statx(place / "link").mode)
    assert stat.S_ISLNK(statx(place / "link", AT_SYMLINK_NOFOLLOW).mode)


def test_statx_takes_a_descriptor(place: Place) -> None:
    with opened(place / "file") as fd:
        assert statx(fd).ino == os.stat(place / "file").st_ino

    with refused(errno.ENOENT):
        statx(place / "missing")


def test_a_birth_time_that_is_told_does_not_change(place: Place) -> None:
    before = statx(place / "file")

    os.rename(place / "file", place / "moved")

    after = statx(place / "moved")
    if before.mask & STATX_BTIME and not place.is_lower:  # a copy is born later
        assert after.btime_ns == before.btime_ns > 0
    assert after.mask & STATX_BASIC_STATS == STATX_BASIC_STATS


@pytest.mark.parametrize("sync", [0x2000, 0x4000], ids=["force", "do-not"])
def test_both_ways_to_synchronise_give_the_same(place: Place, sync: int) -> None:
    with opened(place / "file", os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b"more")

        assert statx(place / "file", sync).size == 5004
