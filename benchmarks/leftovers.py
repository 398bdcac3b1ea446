"""What a killed run left behind: found by a lock that died with it, and removed.

A run that ends by itself, by an error or by SIGTERM cleans up. One that is killed
cannot: its mounts, servers and directories stay. The directories of a run hold a
file that the run keeps locked (flock(2)); where nobody holds the lock, nobody lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from snapfs import mountinfo
from snapfs.benchmarks.programs import run

_log = logging.getLogger(__name__)

PREFIX: Final = "snapfs-b"
_MARK: Final = "alive"


@contextlib.contextmanager
def alive(directory: Path) -> Iterator[None]:
    """Mark ``directory``, whose name begins with ``PREFIX``, as in use."""
    file = os.open(directory / _MARK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def sweep(parent: Path) -> None:
    """Remove the directories of dead runs in ``parent``, their mounts and servers.

    Directories without a mark are left alone: whose they are is not known.
    """
    for mark in parent.glob(f"{PREFIX}*/{_MARK}"):
        try:
            file = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # another user's, or just removed by its owner
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            _log.warning("%s is what a killed run left; it is removed", mark.parent)
            _remove(mark.parent)
        finally:
            os.close(file)


def _remove(directory: Path) -> None:
    detach_below(directory, is_expected=True)
    for process in psutil.process_iter():
        # Names of run directories are random: who has one in its words is its server.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(str(directory) in word for word in process.cmdline()):
                process.kill()
    shutil.rmtree(directory)


def detach_below(root: Path, *, is_expected: bool = False) -> None:
    """Detach what is mounted below ``root``: removing must not walk into it.

    Unless that ``is_expected``, a failed target left it there, and each is logged.
    """
    for entry in reversed(mountinfo.mounts_below(str(root))):
        if entry.target != os.path.realpath(root):
            if not is_expected:
                _log.warning("%s was left mounted; it is detached", entry.target)
            run("umount", "--lazy", entry.target)
