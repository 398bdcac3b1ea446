"""Copies of files and directories out of an image, against GNU tar's."""

from __future__ import annotations

import dataclasses
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.cli.explorer import extraction
from snapfs.cli.explorer.extraction import Extraction
from snapfs.errors import AlreadyExistsError, DataLossError, NotFoundError
from snapfs.inspect.inspection import Inspection
from support.applied_layers import directory, entry, symlink
from support.inspected import inspected
from support.mounted_images import expected_tree, write_layout
from support.tree_metadata import Tree, compare, read_metadata


@pytest.fixture
def inspection(tmp_path: Path) -> Iterator[Inspection]:
    with inspected(write_layout(tmp_path / "layout"), tmp_path / "cache") as found:
        yield found


def copy(inspection: Inspection, path: bytes, destination: Path) -> str:
    tree = inspection.tree()
    place = tree.lookup(path)
    assert place is not None
    return Extraction(inspection, tree, place).to(str(destination))


def permissions_only(tree: Tree) -> Tree:
    """Return a tree without setuid, setgid and sticky bits."""
    return {
        path: dataclasses.replace(found, mode=found.mode & 0o777)
        for path, found in tree.items()
    }


@pytest.mark.root
@pytest.mark.parametrize("large_bytes", [64 << 20, 40], ids=["small", "large"])
def test_a_copy_of_all_is_what_tar_makes_of_it(
    inspection: Inspection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    large_bytes: int,
) -> None:
    monkeypatch.setattr(extraction, "_LARGE_BYTES", large_bytes)

    said = copy(inspection, b"", tmp_path / "copy")

    found = read_metadata(os.fsencode(tmp_path / "copy"))
    expected = expected_tree(tmp_path / "tar")
    # Names of one file become files of their own.
    ignored = ("uid", "gid", "xattrs", "links")
    assert compare(found, permissions_only(expected), ignored) == []
    assert said.startswith("9 files, 97.7 KiB in ")


def test_a_part_is_copied_under_its_name(
    inspection: Inspection, tmp_path: Path
) -> None:
    (tmp_path / "into").mkdir()

    copy(inspection, b"d/sub", tmp_path / "into")
    copy(inspection, b"d/sub/fresh", tmp_path / "into")

    assert (tmp_path / "into/sub/fresh").read_bytes() == b"fresh"
    assert stat.S_IMODE((tmp_path / "into/fresh").stat().st_mode) == 0o755


def test_nothing_is_replaced(inspection: Inspection, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()

    with pytest.raises(AlreadyExistsError):
        copy(inspection, b"d/sub", tmp_path)
    with pytest.raises(NotFoundError):
        copy(inspection, b"d/sub", tmp_path / "no" / "such")

    assert os.listdir(tmp_path / "sub") == []


def test_no_name_leads_out_and_devices_stay(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    layers = [
        [
            directory("top"),
            symlink("top/away", str(outside)),
            entry("top/node", type_=tarfile.CHRTYPE, device=(1, 3)),
            directory("top/closed", 0),
            entry("top/closed/file", b"file", mode=0),
        ],
    ]

    layout = write_layout(tmp_path / "layout", layers)
    with inspected(layout, tmp_path / "cache") as inspection:
        said = copy(inspection, b"top", tmp_path / "copy")

    assert os.readlink(tmp_path / "copy/away") == str(outside)
    assert os.listdir(outside) == []
    assert "2 files, 4 B, 1 device left out" in said
    assert stat.S_IMODE((tmp_path / "copy/closed").stat().st_mode) == 0
    os.chmod(tmp_path / "copy/closed", 0o700)
    assert os.listdir(tmp_path / "copy/closed") == ["file"]


def test_a_damaged_layer_leaves_no_copy(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "layout", [[entry("d/file", b"x" * 100_000)]])
    with inspected(layout, tmp_path / "cache") as inspection:
        blobs = layout.glob("blobs/sha256/*")
        blob = next(b for b in blobs if b.read_bytes()[:2] == b"\x1f\x8b")
        blob.write_bytes(blob.read_bytes()[:60])

        with pytest.raises(DataLossError):
            copy(inspection, b"d", tmp_path / "copy")

    assert not (tmp_path / "copy").exists()
