"""How fast one large file is read and written, block by block."""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Sequence
from pathlib import Path
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
from snapfs.benchmarks.scenarios.presented import TreeScenario

BLOCK_BYTES: Final = 1 << 20

_TREE: Final = "throughput"
_READ: Final = "read"
_WRITE: Final = "write"

_BLOCKS: Final = {Profile.QUICK: 64, Profile.STANDARD: 64, Profile.FULL: 256}
_STATES: Final = {
    Profile.QUICK: (CacheState.WARM,),
    Profile.STANDARD: (CacheState.WARM,),
    Profile.FULL: (CacheState.WARM, CacheState.COLD),
}


class SequentialThroughput(TreeScenario):
    """pread(2) of a file of the lower directory, pwrite(2) of a new file, 1 MiB each.

    ``warm`` reads come from the page cache. Writes go there: nothing is synced, and
    the file is gone before it is written back.
    """

    name = "sequential_throughput"
    question = "How fast is a large file read, or written, 1 MiB at a time?"
    operation = "block"
    baselines: Sequence[str] = ("plain-directory",)

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.cells`."""
        return [
            *(_cell(_READ, state, _BLOCKS[profile]) for state in _STATES[profile]),
            _cell(_WRITE, CacheState.WARM, _BLOCKS[profile]),
        ]

    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> ThroughputTrial:
        """See :meth:`TreeScenario.trial`."""
        return ThroughputTrial(target, cell, workspace, seed)


def _cell(direction: str, state: CacheState, blocks: int) -> Cell:
    is_warm = state is CacheState.WARM
    return Cell(
        {"direction": direction, "size_bytes": blocks * BLOCK_BYTES},
        cache=state,
        operations=blocks,
        runs=5 if is_warm else 1,
        warmups=1 if is_warm else 0,
        expected_s=blocks * (1e-3 if is_warm else 3e-3),
    )


class ThroughputTrial(Trial):
    """One direction on one tree.

    Attributes:
        is_write: Whether ``file`` is written; else it is read.
        file: The file in the tree.
    """

    def __init__(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> None:
        self._target = target
        self._blocks = cell.operations
        self.is_write = cell.parameters["direction"] == _WRITE
        generator = random.Random(seed)  # noqa: S311 - reproducible, no secret
        self._content = generator.randbytes(BLOCK_BYTES)
        # Pages of its own, touched: the run must not pay for the first use of memory.
        self._buffer = mmap.mmap(-1, BLOCK_BYTES)
        self._buffer[:] = self._content
        lowerdir = workspace.directory / "lower"
        lowerdir.mkdir()
        with (lowerdir / _READ).open("wb") as file:
            for number in range(0 if self.is_write else self._blocks):
                file.write(self._expected(number))
        root: Path = target.present([lowerdir], _TREE)
        self.file = root / (_WRITE if self.is_write else _READ)

    def begin_block(self, number: int) -> None:
        """Compare the whole file to be read, once a block.

        Not after each run: what else goes through the CPU's caches makes the next
        run 15 % slower.
        """
        if not self.is_write:
            self._compare()

    def set_up(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.set_up`."""
        self._buffer[:] = self._content

    def run_once(self) -> Outcome:
        """Read or write the file once, from its begin to its end."""
        blocks = self._write() if self.is_write else self._read()
        return Outcome(operations=blocks, bytes=blocks * BLOCK_BYTES)

    def validate(self, outcome: Outcome) -> None:
        """Compare all that was written; of what was read, the last block."""
        if self.is_write:
            self._compare()
        elif self._buffer[:] != self._expected(self._blocks - 1):
            raise InvalidResultError("the last block read is not what the file holds")

    def tear_down(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.tear_down`."""
        if self.is_write:
            self.file.unlink(missing_ok=True)

    def close(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.close`."""
        self._buffer.close()
        self._target.dismiss(_TREE)

    def _expected(self, number: int) -> bytes:
        """Return a block of the file. Each block to be read differs from all others."""
        if self.is_write:
            return self._content
        head = number.to_bytes(8, "little")
        return head + self._content[len(head) :]

    def _compare(self) -> None:
        with self.file.open("rb", buffering=0) as file:
            for number in range(self._blocks):
                if file.read(BLOCK_BYTES) != self._expected(number):
                    raise InvalidResultError(f"block {number} is not what was written")
            if file.read(1):
                raise InvalidResultError("the file is longer than what was written")

    def _read(self) -> int:
        file = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for number in range(self._blocks):
                done = os.preadv(file, [self._buffer], number * BLOCK_BYTES)
                if done != BLOCK_BYTES:
                    return number
        finally:
            os.close(file)
        return self._blocks

    def _write(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self.file, flags, 0o644)
        try:
            for number in range(self._blocks):
                done = os.pwrite(file, self._buffer, number * BLOCK_BYTES)
                if done != BLOCK_BYTES:
                    return number
        finally:
            os.close(file)
        return self._blocks
