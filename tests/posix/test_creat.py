"""creat(2): the mode, the umask and the group of what is made."""

from __future__ import annotations

import os
import stat

import pytest

from support.posix_descriptors import opened, umask
from support.posix_objects import (
    GROUP,
    OLD_NS,
    OTHER_GROUP,
    USER,
    directory,
    file,
    itself,
    placed,
)
from support.posix_place import Place
from support.posix_processes import as_user

CREAT = os.O_CREAT | os.O_WRONLY | os.O_TRUNC


@pytest.mark.parametrize(
    ("mask", "asked", "mode"),
    [
        (0o000, 0o777, 0o777),
        (0o022, 0o666, 0o644),
        (0o077, 0o777, 0o700),
        (0o777, 0o777, 0o000),
        (0o000, 0o000, 0o000),
        (0o022, 0o7777, 0o7755),
        (0o002, 0o4664, 0o4664),
    ],
)
def test_the_umask_takes_bits_from_the_mode(
    place: Place, mask: int, asked: int, mode: int
) -> None:
    with umask(mask), opened(place / "new", CREAT, asked):
        pass

    assert stat.S_IMODE(os.stat(place / "new").st_mode) == mode


@placed(file("file", b"content", mode=0o604))
def test_an_existing_file_keeps_its_mode_and_number(place: Place) -> None:
    before = os.stat(place / "file")

    with opened(place / "file", CREAT, 0o777):
        pass

    after = os.stat(place / "file")
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert after.st_size == 0


@placed(directory("shared", mode=0o2777, owner=(0, OTHER_GROUP)))
def test_a_set_group_id_directory_gives_its_group(place: Place) -> None:
    def make() -> None:
        with opened(place / "shared/new", CREAT, 0o640):
            pass

    as_user(make, USER, GROUP)

    status = os.stat(place / "shared/new")
    assert (status.st_uid, status.st_gid) == (USER, OTHER_GROUP)
    assert stat.S_IMODE(status.st_mode) == 0o640


@placed(directory("shared", mode=0o2777, owner=(0, OTHER_GROUP)))
@pytest.mark.parametrize(
    ("groups", "mode"), [((), 0o0775), ((OTHER_GROUP,), 0o2775)], ids=["out", "in"]
)
def test_only_a_member_makes_executables_of_the_directory_s_group(
    place: Place, groups: tuple[int, ...], mode: int
) -> None:
    # mode_strip_sgid() in fs/inode.c: since Linux 6.0 for every filesystem.
    def make() -> None:
        with umask(0o002), opened(place / "shared/new", CREAT, 0o2777):
            pass

    as_user(make, USER, GROUP, groups)

    assert stat.S_IMODE(os.stat(place / "shared/new").st_mode) == mode


@placed(itself(mode=0o777))
def test_a_new_file_has_the_effective_group(place: Place) -> None:
    def make() -> None:
        with opened(place / "new", CREAT):
            pass

    as_user(make, USER, GROUP, [OTHER_GROUP])

    status = os.stat(place / "new")
    assert (status.st_uid, status.st_gid) == (USER, GROUP)


def test_a_new_file_is_empty_and_young(place: Place) -> None:
    with opened(place / "new", CREAT) as fd:
        status = os.fstat(fd)

    assert (status.st_size, status.st_nlink, status.st_blocks) == (0, 1, 0)
    assert status.st_mtime_ns > OLD_NS
    assert os.stat(place.path).st_mtime_ns > OLD_NS


@placed(file("gone", b"former content", mode=0o600))
def test_a_file_made_where_one_was_removed_has_nothing_of_it(place: Place) -> None:
    os.unlink(place / "gone")

    with opened(place / "gone", CREAT, 0o644):
        pass

    assert (place / "gone").read_bytes() == b""
    assert stat.S_IMODE(os.stat(place / "gone").st_mode) == 0o644
    assert os.listdir(place.path) == ["gone"]
