"""One file under random reads, writes, maps, truncations and copies, against memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from support.file_exerciser import CALLS, FileExerciser, MismatchError
from support.tree_metadata import read_metadata
from support.union_kinds import Layers, UnionKind, mounted

FEW = 2_000
MANY = 100_000
SIZE = 300_000  # in the mode io the kernel reads a lower file of that size itself
OTHER_SIZE = 350_000

UNIONS = [
    pytest.param(kind, layer, id=f"{kind.rpartition('-')[2]}-{layer}")
    for kind in (UnionKind.KERNEL, UnionKind.SNAPFS_FAST, UnionKind.SNAPFS_IO)
    for layer in ("lower", "upper")
]
needs_mounts = [pytest.mark.root, pytest.mark.fuse]


def _fill(directory: Path) -> None:
    (directory / "file").write_bytes(os.urandom(SIZE))
    (directory / "other").write_bytes(os.urandom(OTHER_SIZE))


@contextlib.contextmanager
def _union(kind: UnionKind, layer: str, home: Path) -> Iterator[tuple[Path, Layers]]:
    if obstacle := kind.obstacle():
        pytest.skip(obstacle)
    layers = Layers.make(home / "layers")
    _fill(layers.lower if layer == "lower" else layers.upper)
    with mounted(kind, layers) as merged:
        yield merged, layers


def _exercise(kind: UnionKind, layer: str, home: Path, operations: int) -> None:
    with _union(kind, layer, home) as (merged, layers):
        before = read_metadata(os.fsencode(layers.lower))
        exerciser = FileExerciser(merged / "file", merged / "other", seed=operations)

        exerciser.run(operations)

    with mounted(kind, layers):
        exerciser.compare()
    assert read_metadata(os.fsencode(layers.lower)) == before


def test_a_plain_file_is_what_memory_says(tmp_path: Path) -> None:
    _fill(tmp_path)

    FileExerciser(tmp_path / "file", tmp_path / "other", seed=1).run(FEW)


@pytest.mark.parametrize(("kind", "layer"), UNIONS)
class TestUnions:
    """A file of either layer, by the kernel and by both modes of the engine."""

    pytestmark = needs_mounts

    def test_a_file_is_what_memory_says(
        self, kind: UnionKind, layer: str, tmp_path: Path
    ) -> None:
        _exercise(kind, layer, tmp_path, FEW)

    @pytest.mark.full
    def test_a_file_is_what_memory_says_for_long(
        self, kind: UnionKind, layer: str, tmp_path: Path
    ) -> None:
        _exercise(kind, layer, tmp_path, MANY)


IDLE: Mapping[str, Callable[..., object]] = {
    "pwrite": lambda fd, data, offset: len(data),
    "ftruncate": lambda fd, size: None,
    "fallocate": lambda fd, mode, offset, length: None,
    "copy_file_range": lambda source, target, count, offset, target_offset: count,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_does_nothing_is_found(tmp_path: Path, call: str) -> None:
    _fill(tmp_path)
    calls = {**CALLS, call: IDLE[call]}
    exerciser = FileExerciser(tmp_path / "file", tmp_path / "other", 1, calls)

    with pytest.raises(MismatchError, match="seed 1: after"):
        exerciser.run(FEW)
