"""The FUSE union mounted by its helper, and certainly unmounted at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from snapfs import mountinfo
from snapfs.syscalls import MNT_DETACH, umount2
from support.sandbox import REPOSITORY, ends, wait_until

HELPER: Final = (sys.executable, "-m", "snapfs.fuse.helper")
# Only a server that hangs meets this: a busy disk has taken half a minute to sync.
END_TIMEOUT_S: Final = 120
POLL_S: Final = 0.002
_KILLED: Final = b"the server was killed by SIGKILL; another one goes on\n"
"""By a test."""


class MountedUnion:
    """A live union mount and the process that serves it."""

    def __init__(
        self, mountpoint: Path, process: subprocess.Popen[bytes], log: IO[bytes]
    ) -> None:
        self.mountpoint = mountpoint
        self.process = process
        self._log = log
        self._read = 0
        self._connection = os.minor(os.stat(mountpoint).st_dev)

    def messages(self) -> Counter[str]:
        """Return how many messages of each operation came since the last call.

        Only with the option ``debug``. Those that nobody awaits (FORGET, RELEASE) are
        left out: they may come at any time.
        """
        traced = os.pread(self._log.fileno(), 1 << 26, self._read)
        self._read += len(traced)
        found = Counter(line.split(b" ", 1)[0].decode() for line in traced.splitlines())
        for name in ("FORGET", "BATCH_FORGET", "RELEASE", "INTERRUPT"):
            del found[name]
        return found

    def unmount(self) -> int:
        """Unmount and wait for the server; return its exit status.

        Raises:
            OSError: EBUSY: something in it is still in use.
        """
        umount2(self.mountpoint)
        return self.process.wait(END_TIMEOUT_S)

    def release(self) -> None:
        """End mount and server, whatever state they are in."""
        while _is_mounted(self.mountpoint):
            umount2(self.mountpoint, MNT_DETACH)
        if ends(self.process, END_TIMEOUT_S / 4):
            return
        # Another suite may have made a mount namespace meanwhile, which has a copy of
        # the mount for as long as it lives.
        self.process.terminate()
        if ends(self.process, END_TIMEOUT_S / 4):
            return
        # Requests that hang would keep callers in uninterruptible sleep.
        with suppress(FileNotFoundError):
            Path(f"/sys/fs/fuse/connections/{self._connection}/abort").write_text("1")
        if not ends(self.process, END_TIMEOUT_S / 2):
            self.process.kill()
            self.process.wait()


def union_options(
    lowers: Sequence[Path],
    upper: Path | None = None,
    work: Path | None = None,
    options: Sequence[str] = (),
) -> str:
    """Return the value of ``-o`` for a union of ``lowers``, highest first."""
    words = [f"lowerdir={':'.join(_escaped(path) for path in lowers)}"]
    if upper is not None:
        words.append(f"upperdir={_escaped(upper)}")
    if work is not None:
        words.append(f"workdir={_escaped(work)}")
    return ",".join((*words, *options))


def _escaped(path: Path) -> str:
    return "".join(f"\\{char}" if char in "\\:," else char for char in str(path))


def helper_environment() -> dict[str, str]:
    """Return the environment in which :data:`HELPER` finds the package."""
    places = (str(REPOSITORY), str(REPOSITORY / "tests"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


@contextmanager
def mounted_union(
    lowers: Sequence[Path],
    upper: Path | None,
    work: Path | None,
    mountpoint: Path,
    options: Sequence[str] = (),
    *,
    program: Sequence[str] = HELPER,
) -> Iterator[MountedUnion]:
    """Mount a union by the helper (``program``) in the foreground; unmount at the end.

    Afterwards the server has ended with status 0 and has complained of nothing;
    ``RuntimeError`` names what it said otherwise. Without ``upper`` it is read-only.
    """
    words = [*program, "-f", "-o", union_options(lowers, upper, work, options)]
    device = os.stat(mountpoint).st_dev
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [*words, "union", str(mountpoint)],
            env=helper_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        mounted: MountedUnion | None = None
        try:
            _wait_until_live(process, mountpoint, device, log)
            mounted = MountedUnion(mountpoint, process, log)
            yield mounted
        except BaseException:
            _end(process, mounted, mountpoint)
            sys.stderr.write(_text(log))  # pytest shows it with the failure
            raise
        _end(process, mounted, mountpoint)
        if process.returncode or _complaints(log):
            raise RuntimeError(f"status {process.returncode}: {_text(log)}")


def _end(
    process: subprocess.Popen[bytes], mounted: MountedUnion | None, mountpoint: Path
) -> None:
    if mounted is not None:
        mounted.release()
        return
    process.kill()
    process.wait()
    while _is_mounted(mountpoint):
        umount2(mountpoint, MNT_DETACH)


def _wait_until_live(
    process: subprocess.Popen[bytes], mountpoint: Path, device: int, log: IO[bytes]
) -> None:
    """Wait until ``mountpoint`` is not on ``device`` any more."""

    def is_live() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"status {process.returncode}: {_text(log)}")
        try:
            # Blocks where it is mounted but not answered yet.
            return os.stat(mountpoint).st_dev != device
        except OSError:
            return False  # the server has just ended, as will be seen

    for _ in range(100):
        if is_live():
            return
        time.sleep(POLL_S)
    wait_until(is_live, f"the mount on {mountpoint}")


def _is_mounted(mountpoint: Path) -> bool:
    # Not os.path.ismount: it takes a mount without a server for none.
    return mountinfo.find(str(mountpoint)) is not None


def _text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


def _complaints(log: IO[bytes]) -> bool:
    log.seek(0)
    text = b"".join(line for line in log if not line.endswith(_KILLED))
    # A trace names errors too; what is logged names the logger's own words.
    return any(word in text for word in (b"Traceback", b"snapfs-fuse:"))
