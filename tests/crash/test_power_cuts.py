"""The power is cut at random moments of a storm: what was acknowledged is there.

Commits, publications, unpacks, removals and reclaiming; after each cut the store is
compared with what had been acknowledged, and by ``check --deep``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs.model import Durability
from support.own_mounts import own_mounts
from support.power_cuts import RECORDED, STOPPED, WAYS, Report, Work, cuts
from support.store_storm import faults, storm
from support.stores import opened_store

pytestmark = [pytest.mark.root, pytest.mark.slow]

FILESYSTEMS: Final = ("ext4", "xfs")
CUTS: Final = {RECORDED: 8, STOPPED: 4}
FULL_CUTS: Final = 150
REPORTS: Final = 50


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


def cut_often(
    way: str, place: Path, filesystem: str, durability: Durability, count: int
) -> list[list[str]]:
    """Return what was wrong with the store after each cut."""

    def run(mountpoint: Path, report: Report) -> None:
        storm(mountpoint / "store", durability, f"{filesystem}-{count}", report)

    work = Work(make_store, run, REPORTS)
    return [
        list(faults(cut.mountpoint / "store", cut.reports))
        for cut in cuts(way, place, filesystem, work, count)
    ]


def make_store(mountpoint: Path) -> None:
    with opened_store(mountpoint / "store"):
        pass


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_acknowledged_is_lost_with_the_power(
    tmp_path: Path, way: str, filesystem: str
) -> None:
    found = cut_often(way, tmp_path, filesystem, Durability.LAYER, CUTS[way])

    assert found == [[]] * CUTS[way]


@pytest.mark.full
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_acknowledged_is_lost_by_many_cuts(
    tmp_path: Path, way: str, filesystem: str
) -> None:
    found = cut_often(way, tmp_path, filesystem, Durability.LAYER, FULL_CUTS)

    assert found == [[]] * FULL_CUTS


@pytest.mark.parametrize("way", WAYS)
def test_the_cuts_find_what_is_lost_without_syncs(tmp_path: Path, way: str) -> None:
    found = cut_often(way, tmp_path, "ext4", Durability.NONE, CUTS[way])

    assert any(found)
