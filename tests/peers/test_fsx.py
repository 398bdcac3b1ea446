"""fsx: 100,000 reads, writes, truncates and maps of one file, compared with memory."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import peer_programs
from support.tree_metadata import read_metadata
from support.union_kinds import Layers, UnionKind, mounted

pytestmark = [
    pytest.mark.peers,
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.fuse,
    pytest.mark.slow,
]

OPERATIONS = 100_000
SIZE = 256 << 10
SEED = 20

# fsx truncates its file when it begins; with -L it takes it as it is, all zeros, and
# keeps its size, so that the first write copies data up.
LITE = ("-L",)


@pytest.fixture(scope="module")
def fsx() -> Path:
    program, obstacle = peer_programs.fsx()
    if obstacle:
        pytest.skip(obstacle)
    return program


@pytest.mark.parametrize(
    ("place", "flags"),
    [
        pytest.param("lower", (), id="lower-file-truncated"),
        pytest.param("lower", LITE, id="lower-file-copied-up"),
        pytest.param("upper", (), id="upper-file"),
        pytest.param("nowhere", (), id="new-file"),
    ],
)
@pytest.mark.parametrize(
    "kind", [UnionKind.KERNEL, UnionKind.SNAPFS_FAST, UnionKind.SNAPFS_IO]
)
def test_a_file_holds_what_was_written_to_it(
    fsx: Path, kind: UnionKind, place: str, flags: Sequence[str], tmp_path: Path
) -> None:
    if obstacle := kind.obstacle():
        pytest.skip(obstacle)
    layers = Layers.make(tmp_path / "layers")
    where = {"lower": layers.lower, "upper": layers.upper}.get(place)
    if where is not None:
        (where / "file").write_bytes(bytes(SIZE))
    before = read_metadata(bytes(layers.lower))
    words = [f"-N{OPERATIONS}", f"-S{SEED}", f"-l{SIZE}", "-q", *flags]

    with mounted(kind, layers) as merged:
        done = subprocess.run(
            # Its log and its good copy go to another directory than the file's.
            [fsx, *words, "-P", str(tmp_path), str(merged / "file")],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "A-OK" in done.stdout
    assert read_metadata(bytes(layers.lower)) == before
