"""Run a command in a mount namespace of its own, where a tree is mounted.

The mount lives as long as the processes in that namespace: whatever happens to
them or to us, nothing stays mounted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Final

from snapfs.cli.shapes import mount_shape
from snapfs.model import Mount

# -P: modules of the directory that we happen to stand in are none of ours.
_ENTRY: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from snapfs.cli.enter import enter; enter(int(sys.argv[2]))"
)


@dataclasses.dataclass(frozen=True, slots=True)
class NamespaceRun:
    """What to run, and where.

    Attributes:
        mounts: Mounted in the new namespace, on ``target``.
        target: An existing directory.
        command: The program and its arguments.
        directory: Where the command starts.
        is_chrooted: Whether ``target`` becomes its root directory.
        user: Of a container, as ``USER[:GROUP]``: its name is looked up in the mounted
            tree and goes into the bundle's ``config.json`` in ``directory``. None for
            what is no container.
    """

    mounts: Sequence[Mount]
    target: str
    command: Sequence[str]
    directory: str
    is_chrooted: bool = False
    user: str | None = None


def run_in_namespace(run: NamespaceRun) -> int:
    """Run the command to its end; return its exit code, 128 + N for signal N."""
    plan = {
        "mounts": [mount_shape(mount) for mount in run.mounts],
        "target": run.target,
        "command": list(run.command),
        "directory": run.directory,
        "chroot": run.is_chrooted,
        "user": run.user,
        "is_privileged": os.geteuid() == 0,
    }
    package_parent = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    with os.fdopen(os.memfd_create("snapfs-plan"), "w", encoding="utf-8") as file:
        json.dump(plan, file)
        file.flush()
        file.seek(0)
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-P", "-c", _ENTRY, package_parent, str(file.fileno())],
            pass_fds=[file.fileno()],
        )
    with _forwarding(process):
        code = _wait(process)
    return code if code >= 0 else 128 - code


def without_dashes(command: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without the ``--`` that may stand before it."""
    return tuple(command[1:] if command[:1] == ("--",) else command)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end. Ctrl-C is for the command: the terminal sends it to both."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


@contextlib.contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass requests to end on to ``process``, so that we can clean up after it."""

    def forward(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
