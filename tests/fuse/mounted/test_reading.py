"""What reading leaves alone, and what is shown of files that are open and unlinked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fuse_mounts import mounted_union

pytestmark = [pytest.mark.fuse, pytest.mark.root]

OLD_NS = 1_000_000_000


@pytest.fixture
def merged(tmp_path: Path) -> Iterator[Path]:
    """A mount with a file in each of two layers, both long not read."""
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    for path in (lower / "low", upper / "up"):
        path.write_bytes(b"data")
        os.utime(path, ns=(OLD_NS, OLD_NS))
    with mounted_union([lower], upper, work, merged):
        yield merged


@pytest.mark.parametrize("name", ["low", "up"])
def test_reading_sets_no_access_time(merged: Path, name: str) -> None:
    assert (merged / name).read_bytes() == b"data"

    assert (merged / name).stat().st_atime_ns == OLD_NS


@pytest.mark.parametrize("name", ["low", "up"])
def test_an_open_file_without_a_name_shows_no_link(merged: Path, name: str) -> None:
    with open(merged / name, "rb") as file:
        os.unlink(merged / name)

        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.read() == b"data"
