"""A disk that remembers what was written to it, so that its power can be cut anywhere.

A filesystem is mounted from a loop device over a file that a small FUSE server shows
(``support.recording_server``). The server logs each write and each flush before it
answers. The state after a cut at some point of that log is: all that was written up to
the last flush before it, and of what came later any part, since a disk with a cache
promises no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from support.sandbox import REPOSITORY

DISK: Final = "disk"
RECORD: Final = struct.Struct("=BQI")
"""What happened, offset, length; the bytes of a write follow."""
WRITE: Final = 1
FLUSH: Final = 2

SIZES: Final = {"ext4": 48 << 20, "xfs": 300 << 20}  # xfs is never smaller
_MKFS: Final = {
    # A small journal: so that it wraps, and so that an image is soon copied.
    "ext4": ("mkfs.ext4", "-q", "-J", "size=4", "-E", "lazy_itable_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: one number, _IOR('X', 125, __u32).
_SHUTDOWN: Final = 0x8004587D
_WITHOUT_FLUSH: Final = struct.pack("=I", 2)  # GOING_FLAGS_NOLOGFLUSH


class Write(NamedTuple):
    """One write: where, and what; a flush has no data."""

    offset: int
    data: bytes

    @property
    def is_flush(self) -> bool:
        return not self.data


class RecordedDisk:
    """A mounted filesystem whose writes are recorded.

    Attributes:
        mountpoint: Where it is.
        image: What it looked like before the first write of the recording.
    """

    def __init__(self, place: Path) -> None:
        self.mountpoint = place / "mnt"
        self.image = place / "before"
        self._log = place / "log"

    def position(self) -> int:
        """Return how much has been recorded: whatever was flushed by now is in it."""
        return self._log.stat().st_size

    def recording(self) -> list[tuple[int, Write]]:
        """Return each write and flush with the position behind it."""
        raw = self._log.read_bytes()
        found, at = [], 0
        while at < len(raw):
            kind, offset, size = RECORD.unpack_from(raw, at)
            at += RECORD.size
            data = raw[at : at + size] if kind == WRITE else b""
            at += len(data)
            found.append((at, Write(offset, data)))
        return found


def make_image(path: Path, filesystem: str) -> None:
    """Make an empty filesystem in the file ``path``."""
    with path.open("wb") as file:
        file.truncate(SIZES[filesystem])
    subprocess.run([*_MKFS[filesystem], path], check=True)


@contextlib.contextmanager
def recorded_disk(place: Path, filesystem: str) -> Iterator[RecordedDisk]:
    """Mount a new ``filesystem`` in ``place``, an empty directory; record it."""
    disk = RecordedDisk(place)
    served, image = place / "served", place / "image"
    make_image(image, filesystem)
    copy_image(image, disk.image)
    served.mkdir()
    disk.mountpoint.mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "support.recording_server"]
        + [str(path) for path in (served, image, place / "log")],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY / "tests",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"ready\n"
        with loop_mounted(served / DISK, disk.mountpoint):
            yield disk
    finally:
        subprocess.run(["umount", "--lazy", served], check=False)
        server.wait()
        server.stdout.close()


@contextlib.contextmanager
def loop_mounted(image: Path, target: Path) -> Iterator[None]:
    """Mount the filesystem in ``image``; the loop device goes with the mount."""
    subprocess.run(["mount", "-o", "loop", image, target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def shut_down(mountpoint: Path) -> None:
    """Stop a mounted filesystem at once, without a last flush of its journal."""
    fd = os.open(mountpoint, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_FLUSH)
    finally:
        os.close(fd)


def copy_image(source: Path, target: Path) -> None:
    """Copy an image, holes as holes."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


class Replay:
    """The disk after cuts at points that only ever come later.

    Args:
        disk: What was recorded; it need not be mounted any more.
        place: A directory for images.
    """

    def __init__(self, disk: RecordedDisk, place: Path) -> None:
        self._recording = disk.recording()
        self._flushed = place / "flushed"
        self._cut = place / "cut"
        self._next = 0  # of the recording: not in ``_flushed`` yet
        copy_image(disk.image, self._flushed)

    def cuts(self, count: int, chance: random.Random, start: int) -> list[int]:
        """Return ``count`` random points after the position ``start``, in order."""
        later = [at for at, _ in self._recording if at > start]
        return sorted(chance.choices(later, k=count))

    def image_at(self, cut: int, chance: random.Random) -> Path:
        """Return an image of the disk whose power was cut at the position ``cut``."""
        until = [i for i, (at, _) in enumerate(self._recording) if at <= cut]
        end = until[-1] + 1 if until else 0
        flushes = [i for i in range(self._next, end) if self._recording[i][1].is_flush]
        durable = flushes[-1] + 1 if flushes else self._next
        self._apply(self._flushed, range(self._next, durable), share=1.0, chance=chance)
        self._next = durable
        copy_image(self._flushed, self._cut)
        share = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        self._apply(self._cut, range(durable, end), share=share, chance=chance)
        return self._cut

    def _apply(
        self, image: Path, which: range, *, share: float, chance: random.Random
    ) -> None:
        fd = os.open(image, os.O_WRONLY)
        try:
            for index in which:
                write = self._recording[index][1]
                if not write.is_flush and chance.random() < share:
                    os.pwrite(fd, write.data, write.offset)
        finally:
            os.close(fd)
