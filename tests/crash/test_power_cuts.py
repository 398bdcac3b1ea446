"""The power is cut at random moments of a storm: what was acknowledged is there.

In two ways. A recorded disk is replayed up to any point, with any part of what it had
not flushed. And a filesystem is shut down while it works (``FS_IOC_SHUTDOWN``), without
a last flush of its journal.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs.benchmarks.targets.go_programs import OVERLAYD, BuildError
from snapfs.benchmarks.targets.server_process import ServerProcess
from snapfs.errors import SnapfsError
from snapfs.model import Durability, Kind
from snapfs.remote import RemoteSnapshotter
from support.crashes import forked
from support.fuse_mounts import mounted_union
from support.own_mounts import own_mounts
from support.recorded_disk import (
    Replay,
    loop_mounted,
    make_image,
    recorded_disk,
    shut_down,
)
from support.store_storm import Report, damage, faults, fill, storm
from support.stores import opened_store

pytestmark = [pytest.mark.root, pytest.mark.slow]

FILESYSTEMS: Final = ("ext4", "xfs")
CUTS: Final = 12
FULL_CUTS: Final = 100


@pytest.fixture(autouse=True)
def unseen() -> Iterator[None]:
    with own_mounts():
        yield


LOG: Final = Path(os.devnull)

Reports = list[tuple[int, str]]


class EnoughError(Exception):
    """Ends a storm."""


def recorded_work(
    place: Path,
    filesystem: str,
    prepare: Callable[[Path], None],
    work: Callable[[Path, Report], None],
    reports: int,
) -> tuple[Replay, Reports, int]:
    """Record ``work`` until so many reports; return its replay, them, and the start.

    Both functions get the mount point. Each report has a position of the recording at
    which it had been made: what it acknowledges is before that.
    """
    with recorded_disk(place, filesystem) as disk:
        prepare(disk.mountpoint)
        os.sync()
        start = disk.position()

        found: Reports = []

        def report(line: str) -> None:
            found.append((disk.position(), line))
            if len(found) == reports:
                raise EnoughError

        with contextlib.suppress(EnoughError):
            work(disk.mountpoint, report)
    return Replay(disk, place), found, start


def known_at(reports: Reports, cut: int) -> list[str]:
    """Return what had been reported at a cut, and what was announced next."""
    known = [line for at, line in reports if at <= cut]
    # It may have begun before the cut: its position is known only from above.
    later = next((line for at, line in reports if at > cut), "")
    return [*known, later] if later.startswith("?") else known


@contextlib.contextmanager
def after(
    place: Path, replay: Replay, cut: int, chance: random.Random
) -> Iterator[Path]:
    """Cut, and mount what is left."""
    target = place / "after"
    target.mkdir(exist_ok=True)
    with loop_mounted(replay.image_at(cut, chance), target):
        yield target


def cut_often(
    place: Path, filesystem: str, durability: Durability, cuts: int
) -> list[list[str]]:
    """Return what was wrong with the store after each cut."""

    def work(mountpoint: Path, report: Report) -> None:
        storm(mountpoint / "store", durability, filesystem, report)

    replay, reports, start = recorded_work(place, filesystem, make_store, work, 60)
    chance = random.Random(cuts)
    found = []
    for cut in replay.cuts(cuts, chance, start):
        with after(place, replay, cut, chance) as target:
            found.append(list(faults(target / "store", known_at(reports, cut))))
    return found


def make_store(mountpoint: Path) -> None:
    with opened_store(mountpoint / "store"):
        pass


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize(
    "cuts", [CUTS, pytest.param(FULL_CUTS, marks=pytest.mark.full)]
)
def test_nothing_acknowledged_is_lost_with_the_power(
    tmp_path: Path, filesystem: str, cuts: int
) -> None:
    found = cut_often(tmp_path, filesystem, Durability.LAYER, cuts)

    assert found == [[]] * cuts


def test_the_cuts_find_what_is_lost_without_syncs(tmp_path: Path) -> None:
    found = cut_often(tmp_path, "ext4", Durability.NONE, CUTS)

    assert any(found)


@contextlib.contextmanager
def mounted_disk(place: Path, filesystem: str) -> Iterator[Path]:
    image, target = place / "image", place / "mnt"
    make_image(image, filesystem)
    target.mkdir()
    with loop_mounted(image, target):
        yield target


@pytest.mark.parametrize("filesystem", FILESYSTEMS)
@pytest.mark.parametrize(
    "cuts", [CUTS // 2, pytest.param(FULL_CUTS, marks=pytest.mark.full)]
)
def test_nothing_acknowledged_is_lost_when_a_filesystem_stops(
    tmp_path: Path, filesystem: str, cuts: int
) -> None:
    chance = random.Random(cuts)
    for cut in range(cuts):
        place = tmp_path / str(cut)
        place.mkdir()
        lines = stopped_storm(place, filesystem, f"{filesystem}-{cut}", chance)

        with loop_mounted(place / "image", place / "mnt"):
            assert list(faults(place / "mnt" / "store", lines)) == [], f"cut {cut}"
        subprocess.run(["rm", "-rf", place], check=True)


def stopped_storm(
    place: Path, filesystem: str, seed: str, chance: random.Random
) -> list[str]:
    """Stop the filesystem in the middle of a storm; return what it reported."""
    with mounted_disk(place, filesystem) as target:
        make_store(target)

        def act(writer: int) -> None:
            storm(
                target / "store",
                Durability.LAYER,
                seed,
                lambda line: os.write(writer, f"{line}\n".encode()),
            )

        with forked(act) as (child, reader):
            raw = b""
            while raw.count(b"\n") < chance.randrange(4, 30):
                raw += os.read(reader, 4096)
            time.sleep(chance.random() * 0.01)  # to cut between two reports
            os.kill(child, 19)  # SIGSTOP: what it is told after the cut does not count
            shut_down(target)
            os.kill(child, 9)
            while more := os.read(reader, 4096):
                raw += more
    return raw.decode().splitlines()


# --- the same cuts through other things than our store ---


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

    def work(mountpoint: Path, report: Report) -> None:
        with containerd_snapshotter(program, mountpoint / "root") as snapshotter:
            for number in range(20):
                [mount] = snapshotter.prepare(f"making {number}")
                fill(Path(mount.source), str(number))
                snapshotter.commit(str(number), f"making {number}")
                report(str(number))

    replay, reports, start = recorded_work(
        tmp_path, "ext4", lambda mountpoint: None, work, 20
    )
    chance = random.Random(1)
    lost = []
    for cut in replay.cuts(6, chance, start):
        names = known_at(reports, cut)
        with after(tmp_path, replay, cut, chance) as target:
            if not names:
                continue
            with containerd_snapshotter(program, target / "root") as snapshotter:
                for name in names:
                    lost += lost_of(snapshotter, name)

    assert lost


OLD: Final = b"o" * 300_000
NEW: Final = b"new" + OLD[3:]
FILES: Final = 40


def make_layers(mountpoint: Path) -> None:
    for name in ("lower", "upper", "work"):
        (mountpoint / name).mkdir()
    for number in range(FILES):
        (mountpoint / "lower" / str(number)).write_bytes(OLD)


def change_files(mountpoint: Path, report: Report) -> None:
    """Copy up one file after the other by a small change; sync every second one."""
    with union_on(mountpoint, mountpoint.parent / "union") as union:
        for number in range(FILES):
            with (union / str(number)).open("r+b", buffering=0) as file:
                file.write(b"new")
                if number % 2:
                    os.fsync(file.fileno())
                    report(str(number))


@contextlib.contextmanager
def union_on(disk: Path, target: Path) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    with mounted_union([disk / "lower"], disk / "upper", disk / "work", target):
        yield target


@pytest.mark.fuse
@pytest.mark.parametrize(
    "cuts", [CUTS // 2, pytest.param(FULL_CUTS, marks=pytest.mark.full)]
)
def test_a_file_is_copied_up_whole_or_not_at_all(tmp_path: Path, cuts: int) -> None:
    replay, reports, start = recorded_work(
        tmp_path, "ext4", make_layers, change_files, FILES // 2
    )
    chance = random.Random(cuts)
    for cut in replay.cuts(cuts, chance, start):
        synced = {line for at, line in reports if at <= cut}
        with (
            after(tmp_path, replay, cut, chance) as target,
            union_on(target, tmp_path / "union") as union,
        ):
            names = os.listdir(union)
            found = {name: (union / name).read_bytes() for name in names}

            assert set(found) == {str(number) for number in range(FILES)}
            assert {name for name, data in found.items() if data == NEW} >= synced
            assert set(found.values()) <= {OLD, NEW}
            assert os.listdir(target / "work" / "work") == []
