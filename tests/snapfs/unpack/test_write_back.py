"""The disk writes along: passes while there is work, and errors that nobody misses."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from snapfs.unpack import write_back
from snapfs.unpack.write_back import WriteBack


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_back, "_PAUSE_S", 0.001)


class Disk:
    """Counts syncs; the one numbered ``failing`` fails, and one may be held up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.failing = -1
        self.is_under_way = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        monkeypatch.setattr(write_back, "syncfs", self.syncfs)

    def syncfs(self, descriptor: int) -> None:
        os.fstat(descriptor)  # it is open
        self.syncs += 1
        if self.syncs == self.failing:
            self.is_under_way.set()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.is_under_way.set()
        assert self.may_go_on.wait(60)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_it_syncs_again_and_again_until_the_end(tmp_path: Path, disk: Disk) -> None:
    with WriteBack(str(tmp_path)) as beside:
        for _ in range(3):
            disk.is_under_way.clear()
            assert disk.is_under_way.wait(60)
        beside.finish()
        settled = disk.syncs

    assert not beside._thread.is_alive()
    assert disk.syncs == settled >= 3


def test_an_error_of_any_pass_is_told_at_the_end(tmp_path: Path, disk: Disk) -> None:
    disk.failing = 1

    with WriteBack(str(tmp_path)) as beside:
        assert disk.is_under_way.wait(60)
        with pytest.raises(OSError, match="Input/output") as caught:
            beside.finish()

    assert caught.value.errno == errno.EIO


def test_nobody_waits_for_a_pass_when_the_work_has_failed(
    tmp_path: Path, disk: Disk
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    disk.may_go_on.clear()

    with WriteBack(str(tmp_path)) as beside:
        assert disk.is_under_way.wait(60)
    assert beside._thread.is_alive()  # and yet we are here

    disk.may_go_on.set()
    beside._thread.join(60)
    assert not beside._thread.is_alive()
    assert len(os.listdir("/proc/self/fd")) == before
