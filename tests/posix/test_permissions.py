"""What an ordinary user may do, by modes, groups and directories (path_resolution(7)).

The cases of single calls are in their own files; here are those that all share.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from _pytest.mark import ParameterSet

from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OTHER_GROUP,
    OTHER_USER,
    USER,
    Builder,
    directory,
    file,
    placed,
)
from support.posix_place import Place
from support.posix_processes import as_user

CHANGES: dict[str, Callable[[Place, str], object]] = {
    "creat": lambda place, at: os.close(os.open(place / at / "new", os.O_CREAT)),
    "mkdir": lambda place, at: os.mkdir(place / at / "new"),
    "mkfifo": lambda place, at: os.mkfifo(place / at / "new"),
    "symlink": lambda place, at: os.symlink("x", place / at / "new"),
    "link": lambda place, at: os.link(place / "own", place / at / "new"),
    "unlink": lambda place, at: os.unlink(place / at / "child"),
    "rmdir": lambda place, at: os.rmdir(place / at / "empty"),
    "rename": lambda place, at: os.rename(place / at / "child", place / at / "new"),
    "unnamed": lambda place, at: os.close(
        os.open(place / at, os.O_TMPFILE | os.O_WRONLY)
    ),
}


def parent(name: str, mode: int, gid: int) -> list[Builder]:
    """Make a directory with a file and a directory of the user's."""
    owner = (USER, GROUP)
    return [
        directory(name, mode=mode, owner=(OTHER_USER, gid)),
        file(f"{name}/child", b"child", owner=owner),
        directory(f"{name}/empty", owner=owner),
    ]


def directories(*names: str) -> list[ParameterSet]:
    """Return parameters that are the names, and place these directories."""
    return [
        pytest.param(name, marks=placed(*parent(name, *MODES[name])), id=name)
        for name in names
    ]


MODES: dict[str, tuple[int, int]] = {
    "all": (0o777, 9999),
    "group": (0o070, GROUP),
    "second-group": (0o070, OTHER_GROUP),
    "written": (0o702, 9999),
    "searched": (0o701, 9999),
    "read": (0o704, 9999),
    "read-and-searched": (0o755, 9999),
}

pytestmark = placed(file("own", b"own", owner=(USER, GROUP)))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", directories("all", "group", "second-group"))
def test_a_directory_that_is_written_and_searched_is_changed(
    place: Place, at: str, change: str
) -> None:
    as_user(lambda: CHANGES[change](place, at), USER, GROUP, [OTHER_GROUP])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "at", directories("written", "searched", "read", "read-and-searched")
)
def test_any_other_directory_is_not(place: Place, at: str, change: str) -> None:
    before = sorted(os.listdir(place / at))

    with refused(errno.EACCES):
        as_user(lambda: CHANGES[change](place, at), USER, GROUP, [OTHER_GROUP])

    assert sorted(os.listdir(place / at)) == before == ["child", "empty"]


@pytest.mark.parametrize("at", directories("second-group"))
def test_a_group_that_the_process_left_gives_nothing(place: Place, at: str) -> None:
    with refused(errno.EACCES):
        as_user(lambda: CHANGES["creat"](place, at), USER, GROUP)


@pytest.mark.parametrize("at", directories("all", "read", "read-and-searched"))
def test_a_readable_directory_is_listed(place: Place, at: str) -> None:
    found = as_user(lambda: os.listdir(place / at), USER, GROUP)

    assert sorted(found) == ["child", "empty"]


@pytest.mark.parametrize("at", directories("searched", "written"))
def test_an_unreadable_directory_is_not_listed(place: Place, at: str) -> None:
    with refused(errno.EACCES):
        as_user(lambda: os.listdir(place / at), USER, GROUP)


@pytest.mark.parametrize("at", directories("all", "searched", "read-and-searched"))
def test_a_searchable_directory_is_passed(place: Place, at: str) -> None:
    assert as_user((place / at / "child").read_bytes, USER, GROUP) == b"child"


@pytest.mark.parametrize("at", directories("read", "written"))
def test_an_unsearchable_directory_is_not_passed(place: Place, at: str) -> None:
    with refused(errno.EACCES):
        as_user((place / at / "child").read_bytes, USER, GROUP)


@placed(
    directory("a", mode=0o755),
    directory("a/closed", mode=0o700),
    directory("a/closed/c", mode=0o777),
    file("a/closed/c/file", b"deep", mode=0o666),
)
def test_one_closed_directory_closes_all_below(place: Place) -> None:
    deep = place / "a/closed/c/file"
    with refused(errno.EACCES):
        as_user(deep.read_bytes, USER, GROUP)
    with refused(errno.EACCES):
        as_user(lambda: os.stat(deep), USER, GROUP)

    os.chmod(place / "a/closed", 0o711)

    assert as_user(deep.read_bytes, USER, GROUP) == b"deep"
    os.chmod(place / "a/closed", 0o700)
    with refused(errno.EACCES):
        as_user(deep.read_bytes, USER, GROUP)


@placed(
    file("for-group", b"x", mode=0o660, owner=(OTHER_USER, OTHER_GROUP)),
    file("for-none", b"x", mode=0o600, owner=(OTHER_USER, OTHER_GROUP)),
)
def test_a_supplementary_group_opens_a_file(place: Place) -> None:
    def append(name: str) -> int:
        fd = os.open(place / name, os.O_WRONLY | os.O_APPEND)
        return os.write(fd, b"y")

    assert as_user(lambda: append("for-group"), USER, GROUP, [OTHER_GROUP]) == 1
    with refused(errno.EACCES):
        as_user(lambda: append("for-group"), USER, GROUP)
    with refused(errno.EACCES):
        as_user(lambda: append("for-none"), USER, GROUP, [OTHER_GROUP])


@placed(file("for-all", b"x", mode=0o666))
def test_a_user_writes_a_file_that_all_may_write_in_a_closed_directory(
    place: Place,
) -> None:
    # A union copies it up as itself: the directory is closed to this user.
    as_user(lambda: (place / "for-all").write_bytes(b"written"), USER, GROUP)

    assert (place / "for-all").read_bytes() == b"written"
    status = os.stat(place / "for-all")
    assert (status.st_uid, status.st_gid) == (0, 0)


@placed(*parent("all", *MODES["all"]))
def test_a_child_of_a_lower_directory_belongs_to_who_makes_it(place: Place) -> None:
    def make() -> None:
        os.makedirs(place / "all/empty/one/two")
        (place / "all/empty/one/two/file").write_bytes(b"x")

    as_user(make, USER, GROUP)

    for name in ("one", "one/two", "one/two/file"):
        status = os.stat(place / "all/empty" / name)
        assert (status.st_uid, status.st_gid) == (USER, GROUP)
    assert os.stat(place / "all").st_uid == OTHER_USER
