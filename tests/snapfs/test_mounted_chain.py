"""Directories of a chain from the mounts that show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.assembly.mounted_chain import mounted_chain
from snapfs.errors import UnimplementedError
from snapfs.model import Mount


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    """The store's directory, with the content of three snapshots."""
    found = tmp_path / "a:b" / "snapshots"
    for number in (1, 2, 3):
        (found / str(number) / "fs").mkdir(parents=True)
    return found


def overlay(snapshots: Path, upper: int | None, *lower: int, **more: str) -> Mount:
    def escaped(number: int) -> str:
        return str(snapshots / f"{number}/fs").replace(":", r"\:")

    options = [f"{name}={value}" for name, value in more.items()]
    if upper is not None:
        options += [f"workdir={snapshots}/{upper}/work", f"upperdir={escaped(upper)}"]
    options.append("lowerdir=" + ":".join(map(escaped, lower)))
    return Mount("overlay", "overlay", options=tuple(options))


def test_an_upperdir_stands_before_the_lowerdirs(snapshots: Path) -> None:
    found = mounted_chain([overlay(snapshots, 3, 2, 1)], str(snapshots))

    assert found == tuple(str(snapshots / f"{number}/fs") for number in (3, 2, 1))


def test_a_view_has_lowerdirs_only(snapshots: Path) -> None:
    found = mounted_chain([overlay(snapshots, None, 2, 1)], str(snapshots))

    assert found == tuple(str(snapshots / f"{number}/fs") for number in (2, 1))


def test_a_single_layer_is_bound(snapshots: Path) -> None:
    source = str(snapshots / "1/fs")

    found = mounted_chain([Mount("bind", source, options=("ro",))], str(snapshots))

    assert found == (source,)


@pytest.mark.parametrize("place", ["1", "1/work", "9/fs", "x/fs", "../1/fs", "/etc"])
def test_other_directories_are_for_the_next_differ(snapshots: Path, place: str) -> None:
    mount = Mount("bind", str(snapshots / place))

    with pytest.raises(UnimplementedError, match="this store"):
        mounted_chain([mount], str(snapshots))


def test_one_foreign_layer_is_enough(snapshots: Path) -> None:
    mount = Mount("overlay", "", options=(f"lowerdir={snapshots}/1/fs:/etc",))

    with pytest.raises(UnimplementedError):
        mounted_chain([mount], str(snapshots))


def test_mounts_that_map_owners_show_the_same_directories(snapshots: Path) -> None:
    mount = overlay(snapshots, 3, 2, uidmap="0:1000:65536")

    found = mounted_chain([mount], str(snapshots))

    assert found == mounted_chain([overlay(snapshots, 3, 2)], str(snapshots))


@pytest.mark.parametrize("count", [0, 2])
def test_one_mount_shows_a_snapshot(snapshots: Path, count: int) -> None:
    with pytest.raises(UnimplementedError):
        mounted_chain([overlay(snapshots, None, 2, 1)] * count, str(snapshots))
