"""Copies are on the disk before their names: by a sync, or by a journal's order."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs.fuse.union import file_data
from snapfs.fuse.union.file_data import QUICK_S, Settler, has_ordered_journal
from snapfs.fuse.union.layers import Layer, open_upper
from support.disks import mounted

pytestmark = pytest.mark.root

IMAGE_BYTES = 300 << 20  # of holes; XFS is never smaller


@pytest.fixture
def upper(tmp_path: Path) -> Layer:
    upper = open_upper(os.fsencode(tmp_path))
    upper.is_in_memory = False
    return upper


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that have anything written."""
    made: list[str] = []
    monkeypatch.setattr(file_data, "write_out", lambda _fd: made.append("write_out"))
    monkeypatch.setattr(os, "fsync", lambda _fd: made.append("fsync"))
    return made


@pytest.mark.parametrize(
    ("maker", "options", "is_ordered"),
    [
        pytest.param(["mkfs.ext4"], "", True, id="ext4"),
        pytest.param(["mkfs.ext4"], "data=writeback", False, id="ext4-writeback"),
        pytest.param(["mkfs.ext4"], "data=journal", False, id="ext4-data-journal"),
        pytest.param(["mkfs.ext4", "-O", "^has_journal"], "", False, id="no-journal"),
        pytest.param(["mkfs.ext2"], "", False, id="ext2"),
        pytest.param(["mkfs.xfs"], "", True, id="xfs"),
        pytest.param(["mkfs.btrfs"], "", False, id="btrfs"),
    ],
)
def test_only_journals_that_keep_the_order_are_trusted(
    tmp_path: Path, maker: list[str], options: str, *, is_ordered: bool
) -> None:
    if not shutil.which(maker[0]):
        pytest.skip(f"needs {maker[0]}")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run([*maker, "-q", image], check=True)

    with mounted(tmp_path / "disk", "-o", f"loop,{options}", image) as disk:
        layer = open_upper(os.fsencode(disk))
        try:
            assert has_ordered_journal(layer) is is_ordered
        finally:
            layer.close()


@pytest.mark.parametrize(
    ("is_ordered", "call"), [(True, "write_out"), (False, "fsync")]
)
def test_a_journal_that_keeps_the_order_spares_the_sync(
    upper: Layer,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_ordered: bool,
    call: str,
) -> None:
    monkeypatch.setattr(file_data, "has_ordered_journal", lambda _layer: is_ordered)
    settler = Settler(upper, is_volatile=False)

    settler.settle(0)
    settler.settle(0)

    assert calls == [call, call]


def test_what_is_volatile_or_in_memory_has_nothing_to_wait_for(
    upper: Layer, calls: list[str]
) -> None:
    volatile = Settler(upper, is_volatile=True)
    upper.is_in_memory = True
    in_memory = Settler(upper, is_volatile=False)

    for settler in (volatile, in_memory):
        settler.settle(0)
        assert settler.is_quick

    assert calls == []


def test_a_disk_is_quick_unless_its_last_two_syncs_were_slow(
    upper: Layer, calls: list[str]
) -> None:
    took = (QUICK_S / 2, 1.0, QUICK_S / 2, 1.0, 1.0, QUICK_S / 2)
    times = iter([time for seconds in took for time in (0.0, seconds)])
    settler = Settler(upper, is_volatile=False, clock=lambda: next(times))
    seen = [settler.is_quick]

    for _ in took:
        settler.settle(0)
        seen.append(settler.is_quick)

    assert seen == [False, True, True, True, True, False, True]
    assert len(calls) == len(took)


def test_a_server_is_not_taken_for_a_quick_disk(upper: Layer, calls: list[str]) -> None:
    upper.is_remote = True
    settler = Settler(upper, is_volatile=False, clock=lambda: 0.0)

    settler.settle(0)

    assert (settler.is_quick, len(calls)) == (False, 1)
