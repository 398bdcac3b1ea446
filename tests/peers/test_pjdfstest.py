"""pjdfstest (C) on mounts of the engine: all that passes on kernel overlayfs passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import peer_programs, tap_files
from support.tap_files import FileResult
from support.union_kinds import Layers, UnionKind, mounted

pytestmark = [
    pytest.mark.peers,
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.fuse,
    pytest.mark.slow,
]

ENGINES = [UnionKind.SNAPFS_FAST, UnionKind.SNAPFS_IO]


@pytest.fixture(scope="module")
def tests() -> Path:
    home, obstacle = peer_programs.pjdfstest()
    if obstacle:
        pytest.skip(obstacle)
    return home / "tests"


def run_on(kind: UnionKind, tests: Path, home: Path) -> dict[str, FileResult]:
    with mounted(kind, Layers.make(home / "layers")) as merged:
        return tap_files.run_files(tests, merged)


@pytest.mark.parametrize("kind", ENGINES)
def test_the_engine_passes_every_test_and_skips_what_the_kernel_skips(
    kind: UnionKind, tests: Path, passable: Path
) -> None:
    if obstacle := kind.obstacle():
        pytest.skip(obstacle)
    kernel = run_on(UnionKind.KERNEL, tests, passable / "kernel")
    assert tap_files.failures(kernel) == {}

    results = run_on(kind, tests, passable / "engine")

    assert tap_files.failures(results) == {}
    assert tap_files.shape(results) == tap_files.shape(kernel)
    assert tap_files.total(results) > 8000
