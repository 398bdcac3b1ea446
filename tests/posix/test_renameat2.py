"""renameat2(2): not replacing, exchanging, and the flag that unions refuse."""

from __future__ import annotations

import errno
import itertools
import os

import pytest

from support.posix_calls import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    RENAME_WHITEOUT,
    renameat2,
)
from support.posix_errors import refused
from support.posix_objects import directory, file, hard_link, placed, symlink
from support.posix_place import Place

pytestmark = placed(
    file("file", b"content"),
    file("other", b"other content"),
    symlink("link", "file"),
    directory("empty"),
    directory("full"),
    file("full/child", b"child"),
    directory("full/inner"),
)
NAMES = ["empty", "file", "full", "link", "other"]


@pytest.mark.parametrize("old", NAMES)
def test_noreplace_moves_to_a_free_name(place: Place, old: str) -> None:
    ino = os.lstat(place / old).st_ino

    renameat2(place / old, place / "new", RENAME_NOREPLACE)

    assert os.lstat(place / "new").st_ino == ino
    assert not os.path.lexists(place / old)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(NAMES[:3], NAMES)))
def test_noreplace_refuses_a_taken_name(place: Place, old: str, new: str) -> None:
    with refused(errno.EEXIST):
        renameat2(place / old, place / new, RENAME_NOREPLACE)

    assert sorted(os.listdir(place.path)) == NAMES


def test_noreplace_moves_to_a_name_that_was_removed(place: Place) -> None:
    os.unlink(place / "other")

    renameat2(place / "file", place / "other", RENAME_NOREPLACE)

    assert (place / "other").read_bytes() == b"content"


@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(NAMES, 2)))
def test_exchange_swaps_two_objects_of_any_kind(
    place: Place, one: str, two: str
) -> None:
    before = os.lstat(place / one), os.lstat(place / two)

    renameat2(place / one, place / two, RENAME_EXCHANGE)

    after = os.lstat(place / two), os.lstat(place / one)
    assert [it.st_ino for it in after] == [it.st_ino for it in before]
    assert [it.st_mode for it in after] == [it.st_mode for it in before]
    assert sorted(os.listdir(place.path)) == NAMES
    place.remount()
    again = os.lstat(place / two), os.lstat(place / one)
    assert [it.st_mode for it in again] == [it.st_mode for it in before]
    assert sorted(os.listdir(place.path)) == NAMES


def test_exchange_swaps_across_directories(place: Place) -> None:
    renameat2(place / "file", place / "full/child", RENAME_EXCHANGE)
    renameat2(place / "full/inner", place / "other", RENAME_EXCHANGE)

    assert (place / "file").read_bytes() == b"child"
    assert (place / "full/child").read_bytes() == b"content"
    assert (place / "full/inner").read_bytes() == b"other content"
    assert os.listdir(place / "other") == []


def test_exchanged_directories_keep_their_own_content(place: Place) -> None:
    renameat2(place / "full", place / "empty", RENAME_EXCHANGE)

    assert sorted(os.listdir(place / "empty")) == ["child", "inner"]
    assert os.listdir(place / "full") == []
    place.remount()
    assert sorted(os.listdir(place / "empty")) == ["child", "inner"]
    assert os.listdir(place / "full") == []


@pytest.mark.parametrize(
    ("old", "new", "flags", "code"),
    [
        pytest.param("file", "missing", RENAME_EXCHANGE, errno.ENOENT, id="missing"),
        pytest.param("missing", "file", RENAME_EXCHANGE, errno.ENOENT, id="no-source"),
        pytest.param("full", "full/inner", RENAME_EXCHANGE, errno.EINVAL, id="child"),
        pytest.param("full/inner", "full", RENAME_EXCHANGE, errno.EINVAL, id="parent"),
        pytest.param(
            "file", "new", RENAME_EXCHANGE | RENAME_NOREPLACE, errno.EINVAL, id="both"
        ),
        pytest.param("file", "new", 1 << 10, errno.EINVAL, id="unknown"),
        pytest.param("missing", "new", RENAME_NOREPLACE, errno.ENOENT, id="nothing"),
    ],
)
def test_renameat2_refuses(
    place: Place, old: str, new: str, flags: int, code: int
) -> None:
    with refused(code):
        renameat2(place / old, place / new, flags)

    assert sorted(os.listdir(place.path)) == NAMES


def test_exchange_of_a_file_with_itself_changes_nothing(place: Place) -> None:
    renameat2(place / "file", place / "file", RENAME_EXCHANGE)

    assert (place / "file").read_bytes() == b"content"


@placed(file("one", b"shared"), hard_link("two", "one"))
def test_exchange_of_two_names_of_a_file_keeps_both(place: Place) -> None:
    renameat2(place / "one", place / "two", RENAME_EXCHANGE)

    assert (place / "one").read_bytes() == b"shared"
    assert (place / "two").read_bytes() == b"shared"


def test_leaving_a_whiteout_is_refused_by_unions(place: Place) -> None:
    if place.is_union:  # one union as another's upper layer: overlayfs.md 2.9
        with refused(errno.EINVAL):
            renameat2(place / "file", place / "new", RENAME_WHITEOUT)
        assert sorted(os.listdir(place.path)) == NAMES
    else:
        renameat2(place / "file", place / "new", RENAME_WHITEOUT)
        assert os.lstat(place / "file").st_rdev == 0


@placed(hard_link("second", "file"))
def test_a_refused_flag_copies_nothing_up(place: Place) -> None:
    # A copy of one name would be no link of the other any more.
    flags = RENAME_NOREPLACE | RENAME_EXCHANGE
    with refused(errno.EINVAL):
        renameat2(place / "file", place / "new", flags)
    if place.is_union:
        with refused(errno.EINVAL):
            renameat2(place / "file", place / "new", RENAME_WHITEOUT)

    one, two = os.stat(place / "file"), os.stat(place / "second")
    assert (one.st_ino, one.st_nlink) == (two.st_ino, 2)
