"""The same power cuts, through other things than our store.

containerd's own snapshotter loses what counts as good, which shows that the cuts find
such losses. The FUSE union copies a file up whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from snapfs.benchmarks.targets.go_programs import OVERLAYD, BuildError
from snapfs.benchmarks.targets.server_process import ServerProcess
from snapfs.errors import SnapfsError
from snapfs.model import Kind
from snapfs.remote import RemoteSnapshotter
from support.fuse_mounts import MountedUnion, mounted_union
from support.own_mounts import own_mounts
from support.power_cuts import RECORDED, STOPPED, WAYS, Cut, Report, Work, cuts
from support.store_storm import damage, fill

pytestmark = [pytest.mark.root, pytest.mark.slow]

FILESYSTEMS: Final = ("ext4", "xfs")
CUTS: Final = {RECORDED: 6, STOPPED: 3}
FULL_CUTS: Final = 75
LOG: Final = Path(os.devnull)


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


def overlayd() -> str:
    if unavailable := OVERLAYD.unavailable():
        pytest.skip(unavailable)
    try:
        return str(OVERLAYD.build())
    except BuildError as error:
        pytest.skip(str(error))


@contextlib.contextmanager
def containerd_snapshotter(program: str, root: Path) -> Iterator[RemoteSnapshotter]:
    """Serve containerd's own overlayfs snapshotter from the store in ``root``."""
    # Beside the disk: a socket on it would be part of the recording.
    with tempfile.TemporaryDirectory() as directory:
        address = Path(directory, "s")
        server = ServerProcess((program, str(root), str(address)), address, LOG)
        server.start()
        try:
            with RemoteSnapshotter(str(address)) as client:
                yield client
        finally:
            server.stop()


def lost_of(snapshotter: RemoteSnapshotter, name: str) -> list[str]:
    """Return what is lost of a snapshot that still counts as good."""
    assert snapshotter.stat(name).kind is Kind.COMMITTED
    try:
        [mount] = snapshotter.view(f"view {name}", name)
    except SnapfsError as error:
        return [str(error)]  # its directory itself has gone
    return list(damage(Path(mount.source), name))


def test_the_same_cuts_find_the_known_loss_of_containerd(tmp_path: Path) -> None:
    program = overlayd()

    def run(mountpoint: Path, report: Report) -> None:
        with containerd_snapshotter(program, mountpoint / "root") as snapshotter:
            for number in range(20):
                [mount] = snapshotter.prepare(f"making {number}")
                fill(Path(mount.source), str(number))
                snapshotter.commit(str(number), f"making {number}")
                report(str(number))

    lost: list[str] = []
    for cut in cuts(RECORDED, tmp_path, "ext4", Work(lambda _: None, run, 20), 6):
        if cut.reports:
            with containerd_snapshotter(program, cut.mountpoint / "root") as found:
                lost += [line for name in cut.reports for line in lost_of(found, name)]

    assert lost


OLD: Final = b"o" * 300_000
NEW: Final = b"new" + OLD[3:]
FILES: Final = 40


def make_layers(mountpoint: Path) -> None:
    for name in ("lower", "upper", "work"):
        (mountpoint / name).mkdir()
    for number in range(FILES):
        (mountpoint / "lower" / str(number)).write_bytes(OLD)
    os.sync()


def union_on(mountpoint: Path) -> AbstractContextManager[MountedUnion]:
    target = union_of(mountpoint)
    target.mkdir(exist_ok=True)
    return mounted_union(
        [mountpoint / "lower"], mountpoint / "upper", mountpoint / "work", target
    )


@contextlib.contextmanager
def union_that_is_cut(mountpoint: Path) -> Iterator[None]:
    # Its server may complain of a disk that fails, at the end with a status, too.
    with contextlib.suppress(RuntimeError), union_on(mountpoint):
        yield


def union_of(mountpoint: Path) -> Path:
    return mountpoint.parent / "union"


def change_files(mountpoint: Path, report: Report) -> None:
    """Copy up one file after the other by a small change; sync every second one."""
    for number in range(FILES):
        with (union_of(mountpoint) / str(number)).open("r+b", buffering=0) as file:
            file.write(b"new")
            if number % 2:
                os.fsync(file.fileno())
                report(str(number))


def copied_up_badly(cut: Cut) -> list[str]:
    """Return which files are neither old nor new, or old though they were synced."""
    with union_on(cut.mountpoint):
        union = union_of(cut.mountpoint)
        found = {name: (union / name).read_bytes() for name in os.listdir(union)}
    kinds = {OLD: "old", NEW: "new"}
    names = map(str, range(FILES))
    states = {name: kinds.get(found.pop(name, b""), "torn") for name in names}
    return [
        *found,
        *(name for name, state in states.items() if state == "torn"),
        *(name for name in cut.reports if states[name] != "new"),
        *os.listdir(cut.mountpoint / "work" / "work"),
    ]


def copy_ups_cut(way: str, place: Path, filesystem: str, count: int) -> list[list[str]]:
    work = Work(make_layers, change_files, FILES // 2, around=union_that_is_cut)
    return [copied_up_badly(cut) for cut in cuts(way, place, filesystem, work, count)]


@pytest.mark.fuse
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_copied_up_whole_or_not_at_all(
    tmp_path: Path, way: str, filesystem: str
) -> None:
    found = copy_ups_cut(way, tmp_path, filesystem, CUTS[way])

    assert found == [[]] * CUTS[way]


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize("way", WAYS)
def test_a_file_is_copied_up_whole_or_not_at_all_by_many_cuts(
    tmp_path: Path, way: str, filesystem: str
) -> None:
    found = copy_ups_cut(way, tmp_path, filesystem, FULL_CUTS)

    assert found == [[]] * FULL_CUTS
