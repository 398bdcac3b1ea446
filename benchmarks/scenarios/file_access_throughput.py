"""How fast a file of the layers is read the first time, and at random places."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    InvalidResultError,
    Outcome,
    Profile,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.scenarios.presented import (
    PresentedTree,
    TreeScenario,
    TreeTrial,
)

BLOCK_BYTES: Final = 4096

_MIB: Final = 1 << 20
_STEP_BYTES: Final = _MIB

_SIZES: Final = {
    Profile.QUICK: 32 * _MIB,
    Profile.STANDARD: 64 * _MIB,
    Profile.FULL: 1024 * _MIB,
}
# Random accesses need no large file: enough blocks that few are met twice.
_RANDOM_BYTES: Final = 32 * _MIB
_RANDOM_BLOCKS: Final = 2000

_FIRST: Final = "first-read"
_AGAIN: Final = "re-read"


class FileAccessThroughput(TreeScenario):
    """One file of the lowest layer: pread(2) of 1 MiB in order, or 4 KiB at random.

    ``first-read``: the tree was mounted for this run, the layer's pages are cached.
    ``random-write`` changes a file that was copied up before. The full profile needs
    ``--size-mb``.
    """

    name = "file_access_throughput"
    question = "How fast is a large file read first and again, and at random places?"
    operation = "block"
    baselines: Sequence[str] = ("plain-directory", "kernel-overlayfs")

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [_cell(access, _SIZES[profile]) for access in _ACCESSES]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`TreeScenario.trial`."""
        return _Trial(target, cell, workspace, seed)


def _cell(access: str, size: int) -> Cell:
    is_sequential = access in (_FIRST, _AGAIN)
    is_warm = access != _FIRST
    size = size if is_sequential else _RANDOM_BYTES
    operations = size // _STEP_BYTES if is_sequential else _RANDOM_BLOCKS
    return Cell(
        {"access": access, "size_bytes": size},
        cache=CacheState.WARM if is_warm else CacheState.FRESH_UPPER,
        operations=operations,
        runs=3 if is_warm else 2,
        warmups=1 if is_warm else 0,
        expected_s=operations * 1e-3,
    )


class _Trial(TreeTrial):
    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible, no secret
        self._access = _ACCESSES[str(cell.parameters["access"])]
        self._size = int(cell.parameters["size_bytes"])
        self._operations = cell.operations
        # Pages of its own, touched: the run must not pay for the first use of memory.
        self._buffer = mmap.mmap(-1, _STEP_BYTES)
        self._block = self._random.randbytes(_STEP_BYTES)
        lower = workspace.directory / "lower"
        lower.mkdir()
        with (lower / "file").open("wb") as file:
            for _ in range(self._size // _STEP_BYTES):
                file.write(self._block)
        self.tree = PresentedTree(target, [lower], cell)
        self._offsets: Sequence[int] = ()

    def set_up(self) -> None:
        self.tree.set_up()
        self._buffer[:] = self._block
        blocks = range(self._size // BLOCK_BYTES)
        chosen = self._random.choices(blocks, k=self._operations)
        self._offsets = [block * BLOCK_BYTES for block in chosen]

    def run_once(self) -> Outcome:
        done = self._access(self.tree.root / "file", self._buffer, self._offsets)
        operations, moved = done
        return Outcome(operations=operations, bytes=moved)

    def validate(self, outcome: Outcome) -> None:
        """Compare all of the file; every block of it holds what it held before."""
        with (self.tree.root / "file").open("rb", buffering=0) as file:
            for number in range(self._size // _STEP_BYTES):
                if file.read(_STEP_BYTES) != self._block:
                    raise InvalidResultError(f"MiB {number} is not what it was")

    def close(self) -> None:
        self._buffer.close()
        self.tree.close()


def _read_in_order(
    path: Path, buffer: mmap.mmap, offsets: Sequence[int]
) -> tuple[int, int]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for number in range(len(offsets)):
            done = os.preadv(file, [buffer], number * _STEP_BYTES)
            if done != _STEP_BYTES:
                return number, 0
    finally:
        os.close(file)
    return len(offsets), len(offsets) * _STEP_BYTES


def _read_at_random(
    path: Path, buffer: mmap.mmap, offsets: Sequence[int]
) -> tuple[int, int]:
    place = memoryview(buffer)[:BLOCK_BYTES]
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        total = sum(os.preadv(file, [place], offset) for offset in offsets)
    finally:
        os.close(file)
        place.release()
    return total // BLOCK_BYTES, total


def _write_at_random(
    path: Path, buffer: mmap.mmap, offsets: Sequence[int]
) -> tuple[int, int]:
    """Write what is there already: the same work, and the file can be compared."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    total = 0
    with memoryview(buffer) as content:
        try:
            for offset in offsets:
                begin = offset % _STEP_BYTES
                block = content[begin : begin + BLOCK_BYTES]
                total += os.pwrite(file, block, offset)
                block.release()
        finally:
            os.close(file)
    return total // BLOCK_BYTES, total


_Access = Callable[[Path, mmap.mmap, Sequence[int]], tuple[int, int]]

_ACCESSES: Final = MappingProxyType[str, _Access](
    {
        _FIRST: _read_in_order,
        _AGAIN: _read_in_order,
        "random-read": _read_at_random,
        "random-write": _write_at_random,
    }
)
