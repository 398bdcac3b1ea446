"""A server dies at each step of a request: between reading, doing, noting, answering.

Every operation that must not be done twice is made on the mount and on a plain
directory, while a server dies at the first step of its request, then at the second,
and so on, until the request is over before the step comes.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from snapfs.file_syscalls import link_descriptor
from snapfs.syscalls import (
    AT_FDCWD,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    renameat2,
)
from support.dying_server import BYTES
from support.fuse_mounts import mounted_union
from support.random_tree import described, snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.root]

ROUNDS: Final = 400
"""Objects of each sort; no request takes so many tries in the sampled test."""
SPREAD: Final = (5, 10, 20, 40, 60, 80, 120, 160)
"""Steps from which on the default run lets a server die."""
CAPABILITY: Final = bytes.fromhex("0100000200200000000000000000000000000000")
"""A set of version 2: cap_net_raw, permitted and effective."""

Operation = Callable[[Path, str], object]


def _mkdir(root: Path, name: str) -> None:
    os.mkdir(root / "top" / f"new-{name}")


def _mkdir_over_whiteout(root: Path, name: str) -> None:
    os.mkdir(root / "gone" / name)


def _create(root: Path, name: str) -> None:
    with open(root / "top" / f"new-{name}", "xb") as file:
        file.write(b"new")


def _create_over_whiteout(root: Path, name: str) -> None:
    with open(root / "gone" / name, "xb") as file:
        file.write(b"new")


def _symlink(root: Path, name: str) -> None:
    os.symlink("target", root / "top" / f"new-{name}")


def _link(root: Path, name: str) -> None:
    os.link(root / "upper" / name, root / "top" / f"new-{name}")


def _link_of_lower(root: Path, name: str) -> None:
    os.link(root / "files" / name, root / "top" / f"new-{name}")


def _unlink(root: Path, name: str) -> None:
    os.unlink(root / "upper" / name)


def _unlink_of_lower(root: Path, name: str) -> None:
    os.unlink(root / "files" / name)


def _with_open(root: Path, path: str, call: Callable[[], None]) -> object:
    """Make a call while a file is open; return what that is afterwards."""
    fd = os.open(root / path, os.O_RDWR)
    try:
        os.write(fd, b"!")
        call()
        os.pwrite(fd, b"?", 3)
        return described(os.fstat(fd)), os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def _unlink_open(root: Path, name: str) -> object:
    path = f"upper/{name}"
    return _with_open(root, path, lambda: os.unlink(root / path))


def _rename_over_open(root: Path, name: str) -> object:
    old, new = root / "upper" / name, root / "upper2" / name
    return _with_open(root, f"upper2/{name}", lambda: os.rename(old, new))


def _rmdir(root: Path, name: str) -> None:
    os.rmdir(root / "upper_dirs" / name)


def _rmdir_of_lower(root: Path, name: str) -> object:
    path = root / "empty" / name
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.rmdir(path)
        return os.fstat(fd).st_nlink, os.listdir(fd)
    finally:
        os.close(fd)


def _rename(root: Path, name: str) -> None:
    os.rename(root / "upper" / name, root / "top" / f"new-{name}")


def _rename_of_lower(root: Path, name: str) -> None:
    os.rename(root / "files" / name, root / "top" / f"new-{name}")


def _rename_of_lower_directory(root: Path, name: str) -> None:
    os.rename(root / "full" / name, root / "top" / f"new-{name}")


def _rename_noreplace(root: Path, name: str) -> None:
    _renameat2(root / "upper" / name, root / "top" / name, RENAME_NOREPLACE)


def _exchange(root: Path, name: str) -> None:
    _renameat2(root / "upper" / name, root / "upper2" / name, RENAME_EXCHANGE)


def _renameat2(old: Path, new: Path, flags: int) -> None:
    paths = os.fsencode(old), os.fsencode(new)
    renameat2(*paths, flags, old_dir_fd=AT_FDCWD, new_dir_fd=AT_FDCWD)


def _set_xattr(root: Path, name: str) -> None:
    os.setxattr(root / "upper" / name, "user.new", b"value", os.XATTR_CREATE)


def _remove_xattr(root: Path, name: str) -> None:
    os.removexattr(root / "upper" / name, "user.old")


def _write_to_capable(root: Path, name: str) -> object:
    path = root / "capable" / name
    with open(path, "r+b") as file:
        file.write(b"new")
    return oct(os.stat(path).st_mode), os.listxattr(path)


def _copy_up(root: Path, name: str) -> object:
    directory = root / "full" / name
    before = os.stat(directory).st_mtime_ns
    os.chmod(directory / "file", 0o600)
    # Nothing has changed in the directory.
    return os.stat(directory).st_mtime_ns - before


def _append(root: Path, name: str) -> None:
    with open(root / "files" / name, "ab") as file:
        file.write(b"more")


def _unnamed(root: Path, name: str) -> object:
    fd = os.open(root / "top", os.O_TMPFILE | os.O_RDWR, 0o640)
    try:
        os.write(fd, b"unnamed")
        new = os.fsencode(root / "top" / f"new-{name}")
        link_descriptor(fd, AT_FDCWD, new)
        return described(os.fstat(fd)), os.pread(fd, 100, 0)
    finally:
        os.close(fd)


OPERATIONS: Final[tuple[Operation, ...]] = (
    *(_mkdir, _mkdir_over_whiteout, _create, _create_over_whiteout, _symlink),
    *(_link, _link_of_lower, _unlink, _unlink_of_lower, _unlink_open),
    *(_rename_over_open, _rmdir, _rmdir_of_lower, _rename, _rename_of_lower),
    *(_rename_of_lower_directory, _rename_noreplace, _exchange, _set_xattr),
    *(_remove_xattr, _write_to_capable, _copy_up, _append, _unnamed),
)


class Countdown:
    """The steps that are left to a server; see :mod:`support.dying_server`."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(BYTES))
        with open(path, "r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), BYTES)).cast("Q")

    @contextmanager
    def of(self, steps: int, steps_of_next: int = 0) -> Iterator[None]:
        """Have a server die so many steps from now, if it gets that far."""
        self._words[2] = steps_of_next
        self._words[0] = steps
        try:
            yield
        finally:
            self._words[0] = self._words[2] = 0

    @property
    def deaths(self) -> int:
        """How many servers have died."""
        return self._words[1]


class Trees:
    """A mount whose servers die, a plain directory, and the countdown."""

    def __init__(self, mount: Path, plain: Path, countdown: Countdown) -> None:
        self.roots = (mount, plain)
        self.countdown = countdown

    def make(self, operation: Operation, name: str, steps: int, more: int = 0) -> bool:
        """Make an operation on both; tell whether a server died in it."""
        mount, plain = self.roots
        before = self.countdown.deaths
        with self.countdown.of(steps, more):
            shown = operation(mount, name)
        assert shown == operation(plain, name)
        return self.countdown.deaths > before


def _populate(lower: Path, rounds: int) -> None:
    for directory in ("top", "gone", "files", "empty", "full"):
        (lower / directory).mkdir()
    for number in range(rounds):
        (lower / "gone" / str(number)).write_text("covered")
        (lower / "files" / str(number)).write_text(f"lower {number}")
        (lower / "empty" / str(number)).mkdir()
        (lower / "full" / str(number)).mkdir()
        (lower / "full" / str(number) / "file").write_text("content")
        os.utime(lower / "full" / str(number), ns=(1, 2))


def _prepare(root: Path, names: list[str]) -> None:
    """Change what is to be in the upper before the deaths."""
    for directory in ("upper", "upper2", "upper_dirs", "capable"):
        (root / directory).mkdir()
    for name in names:
        os.unlink(root / "gone" / name)
        for directory in ("upper", "upper2"):
            (root / directory / name).write_text(f"{directory} {name}")
            os.setxattr(root / directory / name, "user.old", b"old")
        (root / "upper_dirs" / name).mkdir()
        capable = root / "capable" / name
        capable.write_text("capable")
        capable.chmod(0o6775)
        os.setxattr(capable, "security.capability", CAPABILITY)


@contextmanager
def _dying(tmp_path: Path, mode: str, rounds: int) -> Iterator[Trees]:
    names = ("lower", "upper", "work", "merged", "plain")
    lower, upper, work, merged, plain = (tmp_path / name for name in names)
    for path in (lower, upper, work, merged, plain):
        path.mkdir()
    _populate(lower, rounds)
    _populate(plain, rounds)
    before = snapshot(lower)
    countdown = Countdown(tmp_path / "countdown")
    program = (
        sys.executable,
        "-m",
        "support.dying_server",
        str(tmp_path / "countdown"),
    )
    with mounted_union(
        *([lower], upper, work, merged), (f"mode={mode}",), program=program
    ):
        for root in (merged, plain):
            _prepare(root, [str(number) for number in range(rounds)])
        yield Trees(merged, plain, countdown)
        assert snapshot(merged) == snapshot(plain)
    assert snapshot(lower) == before
    assert os.listdir(work / "work") == []


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__[1:])
def test_nothing_fails_or_is_done_twice(tmp_path: Path, operation: Operation) -> None:
    choices = random.Random(operation.__name__)
    with _dying(tmp_path, "fast", len(SPREAD)) as trees:
        deaths = [
            trees.make(operation, str(number), choices.randrange(steps, 2 * steps))
            for number, steps in enumerate(SPREAD)
        ]

    assert any(deaths)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["fast", "io"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__[1:])
def test_nothing_fails_at_any_step(
    tmp_path: Path, operation: Operation, mode: str
) -> None:
    with _dying(tmp_path, mode, ROUNDS) as trees:
        number = 0
        while trees.make(operation, str(number), 3 * number + 1 + number % 3):
            number += 1
            if number == ROUNDS:
                break

    assert number > 10


@pytest.mark.full
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.__name__[1:])
def test_nothing_fails_when_the_next_server_dies_too(
    tmp_path: Path, operation: Operation
) -> None:
    choices = random.Random(operation.__name__)
    with _dying(tmp_path, "fast", 100) as trees:
        for number in range(100):
            steps = choices.randrange(1, 400)
            trees.make(operation, str(number), steps, choices.randrange(1, 1500))
        assert trees.countdown.deaths > 100
