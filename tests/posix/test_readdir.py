"""readdir(3), by getdents64(2): completeness, offsets, changes while listing."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_calls import Entry, getdents
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import (
    OLD_NS,
    Builder,
    bound_socket,
    directory,
    fifo,
    file,
    node,
    placed,
    symlink,
)
from support.posix_place import Place

COUNT = 300
MANY = [f"name-{number:03}" for number in range(COUNT)]
SMALL = 512  # bytes of a buffer that holds a few entries

DT_FIFO, DT_CHR, DT_DIR, DT_BLK, DT_REG, DT_LNK, DT_SOCK = 1, 2, 4, 6, 8, 10, 12


def many(name: str) -> list[Builder]:
    """Make a directory with ``COUNT`` files."""
    return [directory(name), *(file(f"{name}/{it}") for it in MANY)]


def read_all(fd: int, size: int = SMALL) -> list[Entry]:
    """Read to the end."""
    found = []
    while part := getdents(fd, size):
        found += part
    return found


def names(entries: list[Entry]) -> list[str]:
    """Return the names but "." and "..", sorted."""
    found = [os.fsdecode(it.name) for it in entries]
    return sorted(name for name in found if name not in (".", ".."))


KINDS = placed(
    file("file"),
    directory("directory"),
    symlink("link", "missing"),
    fifo("fifo"),
    bound_socket("socket"),
    node("character", stat.S_IFCHR | 0o600, 1, 3),
    node("block", stat.S_IFBLK | 0o600, 7, 200),
)


@KINDS
@pytest.mark.parametrize("changed", [False, True], ids=["as-placed", "changed"])
def test_entries_have_the_type_and_number_that_lstat_gives(
    place: Place, changed: bool
) -> None:
    expected = {
        "file": DT_REG,
        "directory": DT_DIR,
        "link": DT_LNK,
        "fifo": DT_FIFO,
        "socket": DT_SOCK,
        "character": DT_CHR,
        "block": DT_BLK,
    }
    if changed:
        for name in expected:
            os.lchown(place / name, 1, 1)

    with opened(place.path) as fd:
        found = {os.fsdecode(it.name): it for it in read_all(fd)}

    assert {name: it.kind for name, it in found.items()} == {
        **expected,
        ".": DT_DIR,
        "..": DT_DIR,
    }
    for name in (*expected, "."):
        assert found[name].ino == os.lstat(place / name).st_ino
    is_right = place.expected(
        True,
        because="it comes from the layer as it is until copy-up: overlayfs.md 2.2",
        kernel_lower=changed,
    )
    assert (found[".."].ino == os.lstat(place.path.parent).st_ino) is is_right


@placed(*many("many"))
@pytest.mark.parametrize("size", [280, SMALL, 1 << 16])
def test_every_name_comes_once_whatever_the_buffer(place: Place, size: int) -> None:
    with opened(place / "many") as fd:
        found = read_all(fd, size)

    assert len(found) == COUNT + 2
    assert names(found) == MANY


@placed(directory("empty"))
def test_an_empty_directory_has_two_entries(place: Place) -> None:
    with opened(place / "empty") as fd:
        found = read_all(fd)

    assert sorted(it.name for it in found) == [b".", b".."]


@placed(*many("many"))
def test_an_offset_leads_back_to_the_same_entry(place: Place) -> None:
    with opened(place / "many") as fd:
        found = read_all(fd)
        for index in (0, 1, 7, 150, COUNT):
            os.lseek(fd, found[index].offset, os.SEEK_SET)

            following = getdents(fd, SMALL)

            assert following[0].name == found[index + 1].name
        os.lseek(fd, found[-1].offset, os.SEEK_SET)
        assert getdents(fd, SMALL) == []


@placed(*many("many"))
def test_an_offset_is_good_after_names_were_removed(place: Place) -> None:
    with opened(place / "many") as fd:
        first = getdents(fd, SMALL)
        here = first[-1].offset
        for name in names(first):
            os.unlink(place / "many" / name)
        os.lseek(fd, here, os.SEEK_SET)
        rest = read_all(fd)

    assert names(first + rest) == MANY


@placed(*many("many"))
def test_deleting_while_listing_leaves_nothing_out(place: Place) -> None:
    with opened(place / "many") as fd:
        while part := getdents(fd, SMALL):
            for name in names(part):
                os.unlink(place / "many" / name)

    assert os.listdir(place / "many") == []
    os.rmdir(place / "many")


@placed(*many("many"))
def test_renaming_while_listing_shows_every_other_name_once(place: Place) -> None:
    moved = MANY[::10]
    with opened(place / "many") as fd:
        found = getdents(fd, SMALL)
        for name in moved:
            os.rename(place / "many" / name, place / "many" / f"moved-{name}")
        found += read_all(fd)

    listed = [name for name in names(found) if "moved-" not in name]
    assert [name for name in listed if name not in moved] == [
        name for name in MANY if name not in moved
    ]


@placed(*many("many"))
def test_rewinding_shows_what_is_there_now(place: Place) -> None:
    with opened(place / "many") as fd:
        read_all(fd)
        os.unlink(place / "many/name-007")
        (place / "many/new").touch()

        os.lseek(fd, 0, os.SEEK_SET)
        found = read_all(fd)

    assert names(found) == sorted({*MANY, "new"} - {"name-007"})


@placed(*many("many"))
def test_two_descriptors_list_on_their_own(place: Place) -> None:
    with opened(place / "many") as one, opened(place / "many") as two:
        first = getdents(one, SMALL)
        other = read_all(two)
        rest = read_all(one)

    assert names(first + rest) == names(other) == MANY


@placed(*many("many"))
def test_the_order_stays_while_nothing_changes(place: Place) -> None:
    first = os.listdir(place / "many")

    os.stat(place / "many/name-123")

    assert os.listdir(place / "many") == first


@placed(directory("directory"), file("directory/gone"), file("directory/stays"))
def test_a_listing_follows_every_change(place: Place) -> None:
    at = place / "directory"
    assert sorted(os.listdir(at)) == ["gone", "stays"]

    os.unlink(at / "gone")
    assert os.listdir(at) == ["stays"]
    (at / "new").touch()
    assert sorted(os.listdir(at)) == ["new", "stays"]
    os.rename(at / "stays", at / "renamed")
    assert sorted(os.listdir(at)) == ["new", "renamed"]
    os.mkdir(at / "gone")
    assert sorted(os.listdir(at)) == ["gone", "new", "renamed"]
    os.rmdir(at / "gone")
    assert sorted(os.listdir(at)) == ["new", "renamed"]
    os.symlink("x", at / "stays")

    assert sorted(os.listdir(at)) == ["new", "renamed", "stays"]
    place.remount()
    assert sorted(os.listdir(at)) == ["new", "renamed", "stays"]


@placed(file("file"), directory("directory"))
def test_listing_is_for_directories(place: Place) -> None:
    with opened(place / "file") as fd, refused(errno.ENOTDIR):
        getdents(fd)
    with opened(place / "directory", os.O_PATH) as fd, refused(errno.EBADF):
        getdents(fd)
    with opened(place / "directory") as fd, refused(errno.EINVAL):
        getdents(fd, 8)  # room for no entry


@placed(directory("directory"), file("directory/child"))
def test_listing_changes_no_time_but_the_access_time(place: Place) -> None:
    os.listdir(place / "directory")

    assert os.stat(place / "directory").st_mtime_ns == OLD_NS


@placed(file("\udcff\udcfe"), file("with\nnewline"), file(" "), file("...."))
def test_any_bytes_but_slash_and_zero_make_a_name(place: Place) -> None:
    expected = {"\udcff\udcfe", "with\nnewline", " ", "...."}
    assert set(os.listdir(place.path)) == expected

    os.rename(place / "\udcff\udcfe", place / "\udc80")

    assert os.listdir(place.path).count("\udc80") == 1


@placed(directory("directory"), file("directory/child"))
def test_scandir_knows_the_types_without_asking(place: Place) -> None:
    os.symlink("child", place / "directory/link")

    with os.scandir(place / "directory") as entries:
        found = {
            it.name: (it.is_file(follow_symlinks=False), it.inode()) for it in entries
        }

    assert found == {
        "child": (True, os.stat(place / "directory/child").st_ino),
        "link": (False, os.lstat(place / "directory/link").st_ino),
    }
