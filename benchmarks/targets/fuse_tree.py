"""Trees that a process serves through /dev/fuse: what all such targets share."""

from __future__ import annotations

import abc
import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from snapfs import syscalls
from snapfs.benchmarks.protocols import Workspace
from snapfs.benchmarks.targets.overlay_tree import OverlayTree, Place
from snapfs.errors import UnavailableError

_LIVE_S: Final = 30.0
_END_S: Final = 20.0
_LOOK_S: Final = 0.0005


class FuseTree(OverlayTree):
    """A tree that one process a mount serves, in the foreground, as our child.

    A subclass says the command. The process inherits nothing of ours but a log, in
    the run directory.
    """

    def __init__(self) -> None:
        super().__init__()
        self._servers: dict[Path, subprocess.Popen[bytes]] = {}
        self._logs: Path | None = None

    @abc.abstractmethod
    def program(self) -> str:
        """Return the path of the program; "" if it is not here."""

    @abc.abstractmethod
    def command(self, place: Place) -> Sequence[str]:
        """Return what serves ``place`` on its ``merged`` until it is unmounted."""

    def environment(self) -> Mapping[str, str]:
        """Return the whole environment of the command."""
        return {"LC_ALL": "C", "PATH": os.defpath}

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        if os.geteuid() != 0:
            return "mounting needs root"
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            return "/dev/fuse cannot be opened"
        return "" if self.program() else f"{self.name} is not installed"

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        super().start(workspace)
        self._logs = workspace.run_directory

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        found: list[int] = []
        for server in self._servers.values():
            found.append(server.pid)
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(server.pid).children(recursive=True)
                found.extend(child.pid for child in children)
        return found

    def forget_caches(self) -> None:
        """Mount every tree anew: its server is another process afterwards."""
        for place in self._mounted.values():
            self.unmount(place)
            self.mount(place)

    def mount(self, place: Place) -> None:
        """See :meth:`OverlayTree.mount`."""
        assert self._logs is not None, "not started"
        device = place.merged.stat().st_dev
        log = self._logs / "server.log"
        with log.open("ab") as output:
            server = subprocess.Popen(  # noqa: S603 - the program that is measured
                self.command(place),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment(),
                cwd="/",
                start_new_session=True,
            )
        self._servers[place.merged] = server
        try:
            _wait_until_live(server, place.merged, device)
        except BaseException as error:
            self._end(place)
            if isinstance(error, UnavailableError):
                words = log.read_text(errors="replace").strip()[-300:]
                raise UnavailableError(f"{error}: {words}") from error
            raise

    def unmount(self, place: Place) -> None:
        """See :meth:`OverlayTree.unmount`; its server has ended, too."""
        syscalls.umount2(place.merged, syscalls.UMOUNT_NOFOLLOW)
        self._end(place)

    def _end(self, place: Place) -> None:
        """Wait for the end of a server; bring it about if need be."""
        server = self._servers.pop(place.merged)
        if _is_mounted(place.merged):
            server.kill()
            server.wait()
        else:
            try:
                server.wait(_END_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        while _is_mounted(place.merged):
            syscalls.umount2(place.merged, syscalls.MNT_DETACH)


class FuseOverlay(FuseTree):
    """Options in overlayfs's words, as fuse-overlayfs and our helper take them."""

    options: Sequence[str] = ()
    """What stands beside the directories."""

    def overlay_options(self, place: Place) -> str:
        """Return the value of ``-o``."""
        lowers = ":".join(map(str, place.lowerdirs))
        return ",".join(
            (
                f"lowerdir={lowers}",
                f"upperdir={place.upperdir}",
                f"workdir={place.workdir}",
                *self.options,
            )
        )


def _wait_until_live(
    server: subprocess.Popen[bytes], merged: Path, device: int
) -> None:
    deadline = time.monotonic() + _LIVE_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UnavailableError(f"it ended with status {server.returncode}")
        # Where it is mounted but not yet answered, this waits for the answer.
        with contextlib.suppress(ConnectionError):
            if os.stat(merged).st_dev != device:
                return
        time.sleep(_LOOK_S)
    raise UnavailableError(f"it did not mount within {_LIVE_S:.0f} s")


def _is_mounted(merged: Path) -> bool:
    try:
        return os.path.ismount(merged)
    except OSError:
        return True  # ENOTCONN: the mount of a server that has died
