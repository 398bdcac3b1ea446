"""Power cuts at random moments of some work, in two ways.

``RECORDED``: a disk that records every write is replayed up to any point, with any part
of what it had not flushed. ``STOPPED``: the filesystem is shut down while the work goes
on (``FS_IOC_SHUTDOWN``), without a last flush of its journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from support.crashes import forked
from support.recorded_disk import (
    Replay,
    loop_mounted,
    make_image,
    recorded_disk,
    shut_down,
)
from support.sandbox import wait_until

RECORDED: Final = "recorded"
STOPPED: Final = "stopped"
WAYS: Final = (RECORDED, STOPPED)

Report = Callable[[str], object]


class EnoughError(Exception):
    """Ends a work."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What is cut.

    Attributes:
        prepare: Fills the disk, before the first cut; gets the mount point.
        run: Works on it, and reports; ends by what a report raises, or an error.
        reports: How many reports a recording holds.
        around: What is to be there while it runs, such as a mount.
    """

    prepare: Callable[[Path], object]
    run: Callable[[Path, Report], object]
    reports: int
    around: Callable[[Path], AbstractContextManager[object]] = contextlib.nullcontext


@dataclasses.dataclass(frozen=True)
class Cut:
    """The disk after a cut, mounted, and what had been said by then.

    Attributes:
        mountpoint: Where it is.
        reports: All reports before the cut. The last one may be an announcement,
            of what had begun.
    """

    mountpoint: Path
    reports: list[str]


def cuts(
    way: str, place: Path, filesystem: str, work: Work, count: int
) -> Iterator[Cut]:
    """Yield the disk after each of ``count`` cuts; ``place`` is an empty directory."""
    make = {RECORDED: _recorded_cuts, STOPPED: _stopped_cuts}[way]
    yield from make(place, filesystem, work, count)


def _recorded_cuts(
    place: Path, filesystem: str, work: Work, count: int
) -> Iterator[Cut]:
    found: list[tuple[int, str]] = []
    with recorded_disk(place, filesystem) as disk:
        work.prepare(disk.mountpoint)
        os.sync()
        start = disk.position()

        def report(line: str) -> None:
            # What it acknowledges is before this position of the recording.
            found.append((disk.position(), line))
            if len(found) == work.reports:
                raise EnoughError

        with contextlib.suppress(EnoughError), work.around(disk.mountpoint):
            work.run(disk.mountpoint, report)
    replay = Replay(disk, place)
    chance = random.Random(count)
    target = place / "after"
    target.mkdir()
    for cut in replay.cuts(count, chance, start):
        with loop_mounted(replay.image_at(cut, chance), target):
            yield Cut(target, _known_at(found, cut))


def _known_at(found: list[tuple[int, str]], cut: int) -> list[str]:
    """Return what had been reported at a cut, and what was announced next."""
    known = [line for at, line in found if at <= cut]
    # It may have begun before the cut: its position is known only from above.
    later = next((line for at, line in found if at > cut), "")
    return [*known, later] if later.startswith("?") else known


def _stopped_cuts(
    place: Path, filesystem: str, work: Work, count: int
) -> Iterator[Cut]:
    chance = random.Random(f"{filesystem} {count}")
    for number in range(count):
        here = place / str(number)
        here.mkdir()
        reports = _stopped(here, filesystem, work, chance)
        with loop_mounted(here / "image", here / "mnt"):
            yield Cut(here / "mnt", reports)
        subprocess.run(["rm", "-rf", here], check=True)


def _stopped(
    here: Path, filesystem: str, work: Work, chance: random.Random
) -> list[str]:
    """Stop the filesystem in the middle of the work; return what it reported."""
    image, target = here / "image", here / "mnt"
    make_image(image, filesystem)
    target.mkdir()
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        work.prepare(target)

        def act(writer: int) -> None:
            with contextlib.suppress(OSError):
                work.run(target, lambda line: os.write(writer, f"{line}\n".encode()))

        with work.around(target), forked(act) as (child, reader):
            raw = b""
            wanted = chance.randrange(4, work.reports // 2)
            while raw.count(b"\n") < wanted and (more := os.read(reader, 4096)):
                raw += more
            time.sleep(chance.random() * 0.01)  # to cut between two reports
            os.kill(child, signal.SIGSTOP)  # what it is told after the cut is void
            shut_down(target)
            os.kill(child, signal.SIGKILL)
            while more := os.read(reader, 4096):
                raw += more
    finally:
        # Its own children may need a moment longer to see that it has gone.
        wait_until(lambda: _unmounted(target), f"{target} to be unused")
    return raw.decode().splitlines()


def _unmounted(target: Path) -> bool:
    done = subprocess.run(["umount", target], capture_output=True, check=False)
    return done.returncode == 0
