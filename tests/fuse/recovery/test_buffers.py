"""Buffers that the kernel fills, of a process that may be killed meanwhile."""

from __future__ import annotations

import resource

import pytest

from snapfs.fuse.recovery.buffers import SharedBuffers
from snapfs.fuse.recovery.memory import BUFFERS, SharedMemory

SIZE = (1 << 20) + 4096


def faults_of_filling(buffer: memoryview) -> int:
    data = b"x" * len(buffer)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    buffer[:] = data
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


@pytest.mark.parametrize("taken", [0, 1, BUFFERS + 1], ids=["first", "next", "private"])
def test_no_page_is_missing_when_the_kernel_fills_a_buffer(taken: int) -> None:
    # Into a page that is missing, a process that is being killed gets nothing, and
    # who asked is told EIO.
    memory = SharedMemory()
    buffers = SharedBuffers(memory, SIZE)
    for _ in range(taken):
        buffers.take()

    assert faults_of_filling(buffers.vector[0]) < 16  # of 257 pages


def test_a_buffer_that_was_given_back_to_the_system_is_whole_again() -> None:
    memory = SharedMemory()
    buffers = SharedBuffers(memory, SIZE)
    first = buffers.take()
    buffers.give_back(first)
    del first
    buffers.shrink()

    buffers.take()

    assert faults_of_filling(buffers.vector[0]) < 16
