"""What a change of a file's data leaves of its setuid and setgid bits.

The setgid bit of a file that its group cannot execute goes only if who changes it is
no member of the group (``setattr_should_drop_sgid`` in ``fs/attr.c``).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from support.posix_calls import fallocate
from support.posix_descriptors import opened
from support.posix_objects import GROUP, OTHER_GROUP, USER, file, placed, xattr
from support.posix_place import Place
from support.posix_processes import as_user

WRITERS: Final = 4
ROUNDS: Final = 50
SIZE: Final = 300_000  # more than the engine writes at once


def _write(path: Path) -> None:
    with opened(path, os.O_WRONLY) as fd:
        os.write(fd, b"x")


def _write_much(path: Path) -> None:
    with opened(path, os.O_WRONLY) as fd:
        os.write(fd, b"x" * SIZE)


def _allocate(path: Path) -> None:
    with opened(path, os.O_WRONLY) as fd:
        fallocate(fd, 0, 0, SIZE)


def _copy(path: Path) -> None:
    with opened(path.parent / "source") as source, opened(path, os.O_WRONLY) as fd:
        os.copy_file_range(source, fd, 10)


def _truncate(path: Path) -> None:
    os.truncate(path, 3)


def _open_truncating(path: Path) -> None:
    with opened(path, os.O_WRONLY | os.O_TRUNC):
        pass


WAYS: Final = [
    pytest.param(way, id=way.__name__[1:].replace("_", "-"))
    for way in (_write, _write_much, _allocate, _copy, _truncate, _open_truncating)
]
OWNER: Final = (0, OTHER_GROUP)
# A capability set of version 2: cap_net_raw, permitted and effective.
CAPABILITY: Final = bytes.fromhex("0100000200200000000000000000000000000000")

pytestmark = placed(
    file("source", b"source content", mode=0o644),
    *(
        file(name, b"content", mode=mode, owner=OWNER)
        for name, mode in (
            ("setuid", 0o4666),
            ("setgid", 0o2666),
            ("executable", 0o6777),
        )
    ),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "groups", "mode"),
    [
        pytest.param("setuid", (), 0o666, id="setuid"),
        pytest.param("setgid", (), 0o666, id="setgid-stranger"),
        pytest.param("setgid", (OTHER_GROUP,), 0o2666, id="setgid-member"),
        pytest.param("executable", (OTHER_GROUP,), 0o777, id="executable"),
    ],
)
def test_a_change_by_a_user_takes_them_away(
    place: Place,
    way: Callable[[Path], None],
    name: str,
    groups: tuple[int, ...],
    mode: int,
) -> None:
    as_user(lambda: way(place / name), USER, GROUP, groups)

    assert stat.S_IMODE(os.stat(place / name).st_mode) == mode


@pytest.mark.parametrize("way", WAYS)
def test_a_change_by_root_takes_none_away(
    place: Place, way: Callable[[Path], None]
) -> None:
    for name in ("setuid", "setgid", "executable"):
        before = os.stat(place / name).st_mode

        way(place / name)

        assert os.stat(place / name).st_mode == before


@placed(
    file("capable", b"content", mode=0o6775, owner=OWNER),
    xattr("capable", "security.capability", CAPABILITY),
)
@pytest.mark.parametrize("way", WAYS)
def test_a_change_by_root_takes_capabilities_alone_away(
    place: Place, way: Callable[[Path], None]
) -> None:
    way(place / "capable")

    assert stat.S_IMODE(os.stat(place / "capable").st_mode) == 0o6775
    assert "security.capability" not in os.listxattr(place / "capable")


@placed(
    *(file(f"capable{number}", b"content", mode=0o6775) for number in range(WRITERS)),
    *(
        xattr(f"capable{number}", "security.capability", CAPABILITY)
        for number in range(WRITERS)
    ),
)
def test_changes_by_several_threads_of_root_take_none_away(place: Place) -> None:
    def write(number: int) -> list[int]:
        path, modes = place / f"capable{number}", []
        for _ in range(ROUNDS):
            os.setxattr(path, "security.capability", CAPABILITY)
            _write(path)
            modes.append(stat.S_IMODE(os.stat(path).st_mode))
        return modes

    with ThreadPoolExecutor(WRITERS) as threads:
        modes = [mode for each in threads.map(write, range(WRITERS)) for mode in each]

    assert modes == [0o6775] * (WRITERS * ROUNDS)
