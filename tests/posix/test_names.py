"""Names and paths of every length (path_resolution(7))."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from support.posix_calls import getdents
from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import directory, file, placed, symlink
from support.posix_place import Place

LONGEST = "n" * 255
TOO_LONG = "n" * 256

pytestmark = placed(
    file("file", b"content"),
    directory("directory"),
    file(f"directory/{LONGEST}", b"long"),
    directory("d" * 255),
    file(f"{'d' * 255}/child", b"child"),
    symlink("l" * 255, "file"),
)

MAKERS: dict[str, Callable[[Place, str], object]] = {
    "creat": lambda place, name: os.close(os.open(place / name, os.O_CREAT)),
    "mkdir": lambda place, name: os.mkdir(place / name),
    "mkfifo": lambda place, name: os.mkfifo(place / name),
    "symlink": lambda place, name: os.symlink("x", place / name),
    "link": lambda place, name: os.link(place / "file", place / name),
    "rename": lambda place, name: os.rename(place / "file", place / name),
}
USERS: dict[str, Callable[[Place, str], object]] = {
    "open": lambda place, name: os.open(place / name, os.O_RDONLY),
    "stat": lambda place, name: os.lstat(place / name),
    "unlink": lambda place, name: os.unlink(place / name),
    "rmdir": lambda place, name: os.rmdir(place / name),
    "rename-from": lambda place, name: os.rename(place / name, place / "new"),
    "chmod": lambda place, name: os.chmod(place / name, 0o600),
    "through": lambda place, name: os.lstat(place / name / "x"),
}


@pytest.mark.parametrize("make", MAKERS)
def test_a_name_of_255_bytes_is_made_and_removed(place: Place, make: str) -> None:
    MAKERS[make](place, LONGEST)

    assert os.listdir(place.path).count(LONGEST) == 1
    place.remount()
    if os.path.isdir(place / LONGEST):
        os.rmdir(place / LONGEST)
    else:
        os.unlink(place / LONGEST)
    assert LONGEST not in os.listdir(place.path)


@pytest.mark.parametrize("call", [*MAKERS, *USERS])
def test_a_name_of_256_bytes_is_refused(place: Place, call: str) -> None:
    with refused(errno.ENAMETOOLONG):
        (MAKERS.get(call) or USERS[call])(place, TOO_LONG)


def test_a_long_name_of_several_bytes_a_character_counts_bytes(place: Place) -> None:
    (place / ("ä" * 127)).touch()
    with refused(errno.ENAMETOOLONG):
        (place / ("ä" * 128)).touch()

    assert "ä" * 127 in os.listdir(place.path)


def test_long_names_that_were_there_are_used_like_others(place: Place) -> None:
    long = place / "directory" / LONGEST
    assert long.read_bytes() == b"long"
    assert (place / ("l" * 255)).read_bytes() == b"content"

    long.write_bytes(b"changed")
    os.rename(place / ("d" * 255), place / ("e" * 255))
    os.unlink(place / ("l" * 255))

    assert long.read_bytes() == b"changed"
    assert (place / ("e" * 255) / "child").read_bytes() == b"child"
    os.unlink(long)
    with opened(place / "directory") as fd:
        assert sorted(it.name for it in getdents(fd)) == [b".", b".."]


def test_a_path_of_4096_bytes_is_refused(place: Place) -> None:
    path = os.path.join(place.path, "directory")
    slashes = 4095 - len(f"{path}/{LONGEST}")

    assert os.lstat(f"{path}{'/' * slashes}/{LONGEST}").st_size == 4
    with refused(errno.ENAMETOOLONG):
        os.lstat(f"{path}{'/' * slashes}//{LONGEST}")


def test_a_tree_deeper_than_any_path_is_used_step_by_step(place: Place) -> None:
    depth, name = 40, "deep" * 40  # 40 times 161 bytes: above PATH_MAX, 4096
    former = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(place / "directory")
    try:
        for _ in range(depth):
            os.mkdir(name)
            os.chdir(name)
        with open("bottom", "wb") as file:
            file.write(b"at the bottom")
        os.chmod("bottom", 0o600)
        os.rename("bottom", "renamed")
        with open("renamed", "rb") as file:
            assert file.read() == b"at the bottom"
        assert os.listdir(".") == ["renamed"]
        os.unlink("renamed")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir(name)
        assert os.listdir(".") == [LONGEST]
    finally:
        os.fchdir(former)
        os.close(former)


def test_slashes_and_dots_change_nothing(place: Place) -> None:
    path = f"{place.path}//.///directory/.././/directory//{LONGEST}"

    assert os.path.samefile(path, place / "directory" / LONGEST)


@pytest.mark.parametrize(
    ("one", "two"), [("case", "CASE"), ("e\u0301", "\u00e9"), ("trailing", "trailing ")]
)
def test_names_that_look_alike_are_different(place: Place, one: str, two: str) -> None:
    (place / one).write_bytes(b"one")
    (place / two).write_bytes(b"two")

    assert (place / one).read_bytes() == b"one"
    assert {one, two} <= set(os.listdir(place.path))


@pytest.mark.parametrize(
    "name", [".wh.name", ".wh..wh..opq", ".fuse_hidden0001", "#1", "work", "\\:,"]
)
def test_names_with_a_meaning_elsewhere_are_names_like_others(
    place: Place, name: str
) -> None:
    (place / name).write_bytes(b"mine")
    (place / "name").write_bytes(b"another")

    place.remount()

    assert (place / name).read_bytes() == b"mine"
    assert {name, "name"} <= set(os.listdir(place.path))
    os.unlink(place / name)
    assert (place / "name").read_bytes() == b"another"
