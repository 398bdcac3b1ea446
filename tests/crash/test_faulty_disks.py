"""A disk that fails in the middle of work: errors are told, and nothing is lost.

What was acknowledged before is there when the disk is sound again; what was refused
is not there by half. The same storm and the same look at the result as for power cuts.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import SnapfsError
from snapfs.model import Durability
from support.crashes import forked
from support.faulty_disk import FaultyDisk, faulty_disk
from support.own_mounts import own_mounts
from support.store_storm import faults, storm

pytestmark = [pytest.mark.root, pytest.mark.fuse, pytest.mark.slow]

ERRORS = ("write EIO", "flush EIO", "write ENOSPC", "read EIO")
FEW = 1
MANY = 30


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


class EnoughError(Exception):
    """Ends a storm."""


def stormy(
    disk: FaultyDisk, root: Path, fault: tuple[str, ...], at: int, until: int, seed: str
) -> tuple[list[str], str]:
    """Work, with the fault from report ``at`` on; return the reports and the end.

    In a child: XFS answers a failing disk by shutting down, after which the kernel
    ends whoever changes a mapped page of it with SIGBUS. The end would be "died".
    """

    def work(writer: int) -> None:
        told = 0

        def report(line: str) -> None:
            nonlocal told
            os.write(writer, f"{line}\n".encode())
            told += 1
            if told == at:
                disk.fail(*fault)
            if told == until:
                raise EnoughError

        try:
            storm(root, Durability.LAYER, seed, report)
        except EnoughError:
            os.write(writer, b"enough")
        except (SnapfsError, OSError):
            os.write(writer, b"error")

    with forked(work) as (_, reader), os.fdopen(os.dup(reader)) as lines:
        *reports, end = lines.read().split("\n")
    return reports, end or "died"


def tried(place: Path, filesystem: str, fault: str, seed: str) -> list[str]:
    """Let one storm meet one fault; return what is wrong afterwards."""
    chance = random.Random(seed)
    place.mkdir()
    with faulty_disk(place, filesystem) as disk:
        try:
            with disk.mounted() as mountpoint:
                root = mountpoint / "store"
                at = chance.randrange(1, 60)
                reports, end = stormy(disk, root, (fault,), at, at + 400, seed)
                disk.heal()
        except OSError as failed:  # an unmount on a bad disk may say so, too
            pytest.fail(f"the disk could not be unmounted: {failed}")
        assert end != "died"
        assert "read" in fault or end != "enough", "the fault was not noticed"
        with disk.mounted():
            return list(faults(root, reports))


@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_what_was_acknowledged_survives_a_failing_disk(
    tmp_path: Path, filesystem: str, fault: str
) -> None:
    found = [
        wrong
        for number in range(FEW)
        for wrong in tried(
            tmp_path / str(number), filesystem, fault, f"{filesystem} {fault} {number}"
        )
    ]

    assert found == []


@pytest.mark.full
@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_many_moments_of_failure(tmp_path: Path, filesystem: str, fault: str) -> None:
    found = [
        wrong
        for number in range(MANY)
        for wrong in tried(
            tmp_path / str(number), filesystem, fault, f"many {fault} {number}"
        )
    ]

    assert found == []


@pytest.mark.full
@pytest.mark.parametrize("what", ["write", "flush"])
def test_a_slow_disk_is_slow_and_nothing_else(tmp_path: Path, what: str) -> None:
    with faulty_disk(tmp_path, "ext4") as disk:
        with disk.mounted() as mountpoint:
            root = mountpoint / "store"
            reports, end = stormy(disk, root, (f"{what} 0.003",), 1, 40, what)
        assert end == "enough"
        disk.heal()
        with disk.mounted():
            assert list(faults(root, reports)) == []
