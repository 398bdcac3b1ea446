"""access(2) and faccessat2(2)."""

from __future__ import annotations

import errno
import os

import pytest

from support.posix_calls import AT_EACCESS, AT_SYMLINK_NOFOLLOW, faccessat2
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OTHER_GROUP,
    OTHER_USER,
    USER,
    directory,
    file,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user, in_child

R, W, X, F = os.R_OK, os.W_OK, os.X_OK, os.F_OK

pytestmark = placed(
    file("own", mode=0o640, owner=(USER, GROUP)),
    file("group", mode=0o750, owner=(OTHER_USER, GROUP)),
    file("second-group", mode=0o620, owner=(OTHER_USER, OTHER_GROUP)),
    file("others", mode=0o604, owner=(OTHER_USER, 9999)),
    file("none", mode=0o000, owner=(USER, GROUP)),
    # The owner's class decides, even when another would allow more.
    file("owner-less", mode=0o077, owner=(USER, GROUP)),
    file("group-less", mode=0o707, owner=(OTHER_USER, GROUP)),
    directory("closed", mode=0o700),
    file("closed/child", mode=0o777),
    directory("listed", mode=0o744),
    file("listed/child", mode=0o777),
    directory("passed", mode=0o711),
    file("passed/child", mode=0o777),
    symlink("link", "own"),
    symlink("dangling", "missing"),
)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("own", {F, R, W, R | W}),
        ("group", {F, R, X, R | X}),
        ("second-group", {F, W}),
        ("others", {F, R}),
        ("none", {F}),
        ("owner-less", {F}),
        ("group-less", {F}),
        ("link", {F, R, W, R | W}),
        ("closed", {F}),
        ("closed/child", set()),
        ("listed", {F, R}),
        ("listed/child", set()),
        ("passed", {F, X}),
        ("passed/child", {F, R, W, X, R | W, R | X, W | X, R | W | X}),
    ],
)
def test_the_mode_decides_for_a_user(
    place: Place, name: str, allowed: set[int]
) -> None:
    def ask() -> set[int]:
        every = range(8)
        return {mode for mode in every if os.access(place / name, mode)}

    assert as_user(ask, USER, GROUP, [OTHER_GROUP]) == allowed


@pytest.mark.parametrize("name", ["own", "closed/child", "passed/child"])
def test_a_refusal_is_eacces(place: Place, name: str) -> None:
    os.chmod(place / name, 0o000)

    with refused(errno.EACCES):
        as_user(lambda: faccessat2(place / name, R, 0), USER, GROUP)


@pytest.mark.parametrize(
    ("name", "mode", "is_allowed"),
    [
        ("none", R | W, True),
        ("none", X, False),
        ("group", X, True),
        ("listed", R | W | X, True),
    ],
)
def test_root_may_all_but_run_what_nobody_may(
    place: Place, name: str, mode: int, is_allowed: bool
) -> None:
    assert os.access(place / name, mode) is is_allowed


@pytest.mark.parametrize(
    ("name", "flags", "code"),
    [
        ("missing", 0, errno.ENOENT),
        ("dangling", 0, errno.ENOENT),
        ("own/x", 0, errno.ENOTDIR),
    ],
)
def test_access_refuses(place: Place, name: str, flags: int, code: int) -> None:
    with refused(code):
        faccessat2(place / name, F, flags)


def test_a_link_is_looked_at_itself_when_asked(place: Place) -> None:
    faccessat2(place / "dangling", F, AT_SYMLINK_NOFOLLOW)


def test_the_real_user_decides_unless_the_effective_is_asked_for(place: Place) -> None:
    def ask() -> tuple[bool, bool]:
        os.setgroups([])
        os.setresgid(GROUP, 0, 0)
        os.setresuid(USER, 0, 0)
        faccessat2(place / "closed/child", R, AT_EACCESS)
        return (
            os.access(place / "closed/child", R),
            os.access(place / "closed/child", R, effective_ids=True),
        )

    assert in_child(ask) == (False, True)


def test_asking_for_write_access_changes_nothing(place: Place) -> None:
    before = os.stat(place / "own")

    assert os.access(place / "own", W)

    assert os.stat(place / "own") == before
