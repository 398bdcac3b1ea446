"""What a file of a layer costs in system calls, counted exactly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.syscall_counts import SyscallCounter
from support.applied_layers import apply_items, directory, entry

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        bool(syscall_counts.unavailable()), reason=syscall_counts.unavailable()
    ),
]

FEW, MANY = 100, 400
# Reading what perf says, and the interpreter's own memory.
NOISE = 20


def calls(staging: Path, files: int, content: bytes) -> int:
    """Return how many system calls it takes to apply so many files."""
    items = [entry(f"d/f{number}", content) for number in range(files)]
    umask = os.umask(0)  # as in the process that applies layers
    try:
        with SyscallCounter([os.getpid()]) as counter, counter.counting():
            apply_items(staging, directory("d"), *items)
    finally:
        os.umask(umask)
    return counter.counts["syscalls"]


@pytest.mark.parametrize(
    ("content", "each"),
    [
        pytest.param(b"x" * 3000, 4, id="open-write-utimensat-close"),
        pytest.param(b"", 3, id="empty"),
    ],
)
def test_a_small_file_of_root_takes_so_many_calls(
    tmp_path: Path, content: bytes, each: int
) -> None:
    apply_items(tmp_path / "first", directory("d"))  # whatever happens only once

    few = calls(tmp_path / "few", FEW, content)
    many = calls(tmp_path / "many", MANY, content)

    assert abs(many - few - each * (MANY - FEW)) <= NOISE
