"""What the first use of a name costs the server in system calls, counted exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.syscall_counts import SyscallCounter
from support.disks import small_disk
from support.fuse_mounts import MountedUnion, mounted_union
from support.keeper import server_of

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.root,
    pytest.mark.skipif(
        bool(syscall_counts.unavailable()), reason=syscall_counts.unavailable()
    ),
]

FEW: Final = 50
MANY: Final = 250
# The thread that answers questions, and memory of the interpreter's own.
NOISE: Final = 20


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[MountedUnion]:
    """A mount of small files that one layer has, in memory whatever others do."""
    with small_disk(tmp_path / "disk") as disk:
        yield from _mounted(disk)


def _mounted(disk: Path) -> Iterator[MountedUnion]:
    lower, upper, work, merged = (
        disk / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower / "dir", upper, work, merged):
        path.mkdir(parents=True)
    for number in range(FEW + MANY):
        (lower / "dir" / f"file{number}").write_bytes(b"x" * 100)
    (lower / "dir" / "first").write_bytes(b"x" * 100)
    with mounted_union([lower], upper, work, merged) as union:
        _read(merged / "dir" / "first")  # whatever happens only once
        yield union


def _look_for_nothing(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.stat(path.with_name(f"no-{path.name}"))


def _read(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        assert os.read(fd, 1 << 12)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("use", "each"),
    [
        pytest.param(os.stat, 3, id="stat: readv, fstatat, write"),
        pytest.param(_look_for_nothing, 3, id="stat of no file"),
        pytest.param(
            _read,
            9,
            id="read: the same, and readv, openat, listxattr, preadv, close, write",
        ),
    ],
)
def test_the_first_use_of_a_file_takes_so_many_calls(
    mounted: MountedUnion, use: Callable[[Path], object], each: int
) -> None:
    server = server_of(mounted.process.pid)
    assert server is not None
    paths = [
        mounted.mountpoint / "dir" / f"file{number}" for number in range(FEW + MANY)
    ]
    counts: list[int] = []

    for some in (paths[:FEW], paths[FEW:]):
        with SyscallCounter([server]) as counter, counter.counting():
            for path in some:
                use(path)
        counts.append(counter.counts["syscalls"])

    assert abs(counts[1] - counts[0] - each * (MANY - FEW)) <= NOISE
