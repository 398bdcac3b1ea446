"""A mount and PID namespace whose processes and mounts end with it.

Programs that mount, daemonize and leave children behind (containerd, its shims, the
containers) run inside; closing the sandbox ends all of them, however a test fails,
and even if the test process is killed: the namespace's init waits for the other end
of a pipe. Inside, ``/run`` is empty, so that nothing of the host's is met or made
there: shims keep sockets and runc keeps its state below ``/run`` whatever containerd's
own configuration says.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
# Only a test that hangs meets these; they are far above any measured duration.
COMMAND_TIMEOUT_S: Final = 120
WAIT_TIMEOUT_S: Final = 60
POLL_S: Final = 0.02
SLICE_S: Final = 1

NEW_NAMESPACES: Final = (
    *("unshare", "--mount", "--pid", "--fork"),
    *("--kill-child", "--mount-proc"),
)
# An ignored SIGCHLD outlives exec; the kernel then reaps orphans by itself.
# FUSE mounts of the host's are left out: a copy keeps their servers from ending.
INIT: Final = (
    "trap '' CHLD && { umount -a -l -t fuse.snapfs-fuse || true; }"
    " && mount -t tmpfs tmpfs /run && echo ready && exec cat"
)


def patiently(wait: Callable[[float], bool], limit_s: float) -> bool:
    """Return whether ``wait(seconds)`` came true within ``limit_s`` of running time.

    It waits in slices: who stops the test and all that it waits for (SIGSTOP, the
    freezer of cgroups, a suspended machine) takes one slice away, not the whole limit.
    """
    slices = max(1, round(limit_s / SLICE_S))
    return any(wait(limit_s / slices) for _ in range(slices))


def ends(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Return whether ``process`` ends within ``limit_s``, counted by patiently()."""

    def wait(seconds: float) -> bool:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    return patiently(wait, limit_s)


def wait_until(claim: Callable[[], object], what: str) -> None:
    """Return as soon as ``claim()`` is true.

    Raises:
        TimeoutError: It has not become true within a minute, counted by patiently().
    """

    def wait(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not claim():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    if not patiently(wait, WAIT_TIMEOUT_S):
        raise TimeoutError(f"waited in vain for {what}")


class CommandError(AssertionError):
    """A command that a test ran failed; the text holds all that it printed."""


class Service:
    """A long-running program inside a sandbox, with its output in ``log``."""

    def __init__(self, outside: subprocess.Popen[bytes], log: Path) -> None:
        self._outside = outside
        self.log = log

    @property
    def is_running(self) -> bool:
        return self._outside.poll() is None

    @property
    def exit_status(self) -> int | None:
        return self._outside.poll()

    def wait(self) -> None:
        """Return when the program has ended."""
        self._outside.wait(WAIT_TIMEOUT_S)

    def signal(self, number: signal.Signals) -> None:
        """Send ``number`` to the program and wait until it has ended."""
        # nsenter waits outside for its only child, which is the program.
        for program in psutil.Process(self._outside.pid).children():
            program.send_signal(number)
        self.wait()

    def stop(self) -> None:
        """End the program in an orderly way; killed if it does not end."""
        if not self.is_running:
            return
        try:
            self.signal(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the program as a power cut would: ``kill -9``."""
        self.signal(signal.SIGKILL)


class Sandbox:
    """The namespaces, a scratch directory and a cgroup name, for one test."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        # Not pytest's directory: a socket's path must stay below 108 bytes.
        self.home = Path(tempfile.mkdtemp(prefix="snapfs-test-"))
        self.cgroup = f"/snapfs-test-{secrets.token_hex(4)}"
        self._environment = {**os.environ, **(environment or {})}
        self._services: list[Service] = []
        self._holder = self._start()
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise CommandError("cannot make a mount and PID namespace")
        [init] = psutil.Process(self._holder.pid).children()
        # Seen from outside; /proc/PID/root is the sandbox with its mounts.
        self.pid = init.pid
        self._enter = self._entering(init.pid)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start what holds the namespaces; it says ``ready``."""
        return subprocess.Popen(
            [*NEW_NAMESPACES, "sh", "-c", INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _entering(self, pid: int) -> list[str]:
        """Return the words by which a program starts inside."""
        return ["nsenter", f"--target={pid}", "--mount", "--pid", "--"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process inside and remove what they left on the host."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        # init ends at the end of its input, and takes all others with it first.
        self._holder.wait(WAIT_TIMEOUT_S)
        self._holder.stdout.close()
        for service in self._services:
            service.wait()
        remove_cgroup(self.cgroup)
        shutil.rmtree(self.home)

    def try_run(
        self, *command: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` inside; return its status and its output."""
        return subprocess.run(
            [*self._enter, *command],
            env={**self._environment, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run ``command`` inside; return what it printed.

        Raises:
            CommandError: It failed.
        """
        done = self.try_run(*command, env=env)
        if done.returncode != 0:
            shown = " ".join(map(str, command))
            raise CommandError(
                f"{shown}\nended with status {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout

    def spawn(
        self, *command: str | Path, log: Path, env: Mapping[str, str] | None = None
    ) -> Service:
        """Start ``command`` inside, with its output appended to ``log``."""
        with log.open("ab") as output:
            outside = subprocess.Popen(
                [*self._enter, *command],
                env={**self._environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        service = Service(outside, log)
        self._services.append(service)
        return service

    def mount_points(self) -> list[str]:
        """Return the mount points inside the sandbox below its scratch directory."""
        lines = self.run("cat", "/proc/self/mountinfo").splitlines()
        points = [line.split()[4] for line in lines]
        return [point for point in points if Path(point).is_relative_to(self.home)]


def remove_cgroup(name: str) -> None:
    """Remove the cgroup ``name`` of every hierarchy, with what lies below it.

    runc removes a container's own cgroup, never the parent that it had to make.
    """
    # Version 2 has one hierarchy, at the root; version 1 one for each controller.
    roots = [CGROUP_ROOT, *(path for path in CGROUP_ROOT.iterdir() if path.is_dir())]
    for root in roots:
        top = Path(f"{root}{name}")
        for folder, _, _ in os.walk(top, topdown=False):
            wait_until(partial(_is_removed, Path(folder)), f"{folder} to empty")


def _is_removed(cgroup: Path) -> bool:
    try:
        cgroup.rmdir()
    except OSError:
        # EBUSY: its last process is being reaped. Any other reason stays, and
        # makes the wait fail.
        return not cgroup.exists()
    return True
