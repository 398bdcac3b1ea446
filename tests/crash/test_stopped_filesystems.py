"""A filesystem that shuts itself down under a store ends no process.

XFS does that when its journal cannot be written, ext4 with ``errors=remount-ro``. From
then on a change to a mapped page of a file is answered by SIGBUS.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.errors import SnapfsError
from snapfs.manager import SnapshotManager
from snapfs.model import Durability, Info
from support.crashes import forked
from support.own_mounts import own_mounts
from support.recorded_disk import loop_mounted, make_image, shut_down
from support.store_storm import damage, fill
from support.stores import fs_of, opened_store

pytestmark = [pytest.mark.root, pytest.mark.slow]

CALLS: dict[str, Callable[[SnapshotManager], object]] = {
    "prepare": lambda store: store.prepare("new", "base"),
    "view": lambda store: store.view("new", "base"),
    "update": lambda store: store.update(Info("base", labels={"l": "2"})),
    "commit": lambda store: store.commit("new", "active"),
    "remove": lambda store: store.remove("active"),
}


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_every_call_on_a_stopped_filesystem_is_an_error_and_no_death(
    tmp_path: Path, filesystem: str
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    make_image(tmp_path / "image", filesystem)

    def work(writer: int) -> None:
        with opened_store(disk / "store", durability=Durability.LAYER) as store:
            store.prepare("making")
            fill(fs_of(store, "making"), "base")
            store.commit("base", "making")
            store.prepare("active", "base")
            os.sync()  # what is written back is write-protected: the next change faults
            shut_down(disk)
            told = {name: outcome(store, call) for name, call in CALLS.items()}
            told["stat"] = store.stat("base").name
            os.write(writer, json.dumps(told).encode())

    with loop_mounted(tmp_path / "image", disk), forked(work) as (child, reader):
        said = os.read(reader, 65536)
        status = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    assert status is not None
    assert (status.si_code, status.si_status) == (os.CLD_EXITED, 0)
    assert json.loads(said) == {**dict.fromkeys(CALLS, "refused"), "stat": "base"}
    with (
        loop_mounted(tmp_path / "image", disk),
        opened_store(disk / "store") as store,
    ):
        assert [info.name for info in store.walk()] == ["base", "active"]
        assert list(damage(fs_of(store, "base"), "base")) == []


def outcome(store: SnapshotManager, call: Callable[[SnapshotManager], object]) -> str:
    try:
        call(store)
    except (SnapfsError, OSError):
        return "refused"
    return "done"
