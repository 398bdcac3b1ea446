"""A filesystem on a disk that fails at the test's word, and is sound again at another.

Below it is a loop device over a file of ``support.faulty_server``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.recorded_disk import DISK, loop_mounted, make_image
from support.sandbox import REPOSITORY

_PATIENCE_S: Final = 30
"""Only a disk that is still in use after a failed test meets this."""


class FaultyDisk:
    """A disk, and where its filesystem is mounted."""

    def __init__(self, place: Path) -> None:
        self.mountpoint = place / "mnt"
        self._served = place / "served"
        self._control = place / "control"

    def fail(self, *faults: str) -> None:
        """Fail from now on as the lines say: ``write EIO``, ``flush 0.05``."""
        # Shorter than what was there before is filled up: one write is one change.
        text = "".join(f"{fault}\n" for fault in faults)
        with self._control.open("r+b", buffering=0) as file:
            file.write(text.encode().ljust(64, b"\n"))

    def heal(self) -> None:
        """Fail no more; what the filesystem has lost by then is lost."""
        self.fail()

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the filesystem for the block."""
        with loop_mounted(self._served / DISK, self.mountpoint):
            yield self.mountpoint


@contextlib.contextmanager
def faulty_disk(place: Path, filesystem: str) -> Iterator[FaultyDisk]:
    """Make a disk with a new ``filesystem`` in ``place``, an empty directory."""
    disk = FaultyDisk(place)
    make_image(place / "image", filesystem)
    for path in (disk.mountpoint, disk._served):
        path.mkdir()
    disk._control.write_bytes(bytes(64).replace(b"\0", b"\n"))
    server = subprocess.Popen(
        [sys.executable, "-m", "support.faulty_server"]
        + [str(path) for path in (disk._served, place / "image", disk._control)],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY / "tests",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"ready\n"
        yield disk
    finally:
        disk.heal()
        subprocess.run(["umount", "--lazy", disk._served], check=False)
        try:
            server.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:  # something still uses it: the test failed
            server.kill()
            server.wait()
        server.stdout.close()
