"""A containerd of one's own, in namespaces that end with it.

It shares nothing with an installed containerd: root, state, socket and configuration
are its own, ``/run`` is empty (shims and runc keep their state there, whatever the
configuration says), and every process and mount ends with the namespaces, even if
this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

import snapfs
from snapfs.benchmarks import programs
from snapfs.benchmarks.scenarios.cgroups import remove_cgroups
from snapfs.benchmarks.scenarios.containerd_installation import (
    IMAGE_MAKER,
    Installation,
    find,
    search_path,
)
from snapfs.errors import UnavailableError

IMAGE: Final = "snapfs.test/demo:latest"
# Where containers see the directory that the host sees as ``shared``.
SHARED: Final = "/mnt"
# What `snapfs config containerd` names its proxy snapshotter.
PROXY: Final = "snapfs"
BUILT_IN: Final = "overlayfs"

# Plugins that reach outside the private root, or that no container here needs. Names
# that a version does not know are ignored by it.
_DISABLED: Final = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.image-verifier.v1.bindir",
    "io.containerd.internal.v1.opt",
    "io.containerd.nri.v1.nri",
)

_NAMESPACES: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
# An ignored SIGCHLD outlives exec; the kernel then reaps orphans by itself.
_INIT: Final = "trap '' CHLD && mount -t tmpfs tmpfs /run && echo ready && exec cat"

# Far above what a loaded machine needs: it ends a run that hangs.
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.02


class PrivateContainerd:
    """A running containerd; ``close`` ends it with all that it started.

    Args:
        directory: Its root goes there: what its own snapshotter is measured on.
        run_directory: Socket, state, configuration and log; a short path.
        proxy: The address of the snapshotter to use; "" for the built-in one.
        has_differ: The snapshotter unpacks and makes layers, too.
        installation: Which containerd; by default what :func:`find` finds.

    Raises:
        UnavailableError: It does not start; the text has the end of its log.
    """

    def __init__(
        self,
        directory: Path,
        run_directory: Path,
        proxy: str,
        installation: Installation | None = None,
        *,
        has_differ: bool = False,
    ) -> None:
        self._installation = installation or find()
        self._home = run_directory
        # nsenter(1), which waits outside for containerd, its only child.
        self._outside: subprocess.Popen[bytes] | None = None
        self._followers: list[subprocess.Popen[bytes]] = []
        self._snapshotter = PROXY if proxy else BUILT_IN
        self._has_differ = has_differ
        self._cgroup = f"/snapfs-bench-{secrets.token_hex(4)}"
        with contextlib.ExitStack() as undo:
            undo.callback(remove_cgroups, self._cgroup)
            undo.callback(self._wait)
            self.shared.mkdir()
            self._enter = self._open_namespaces(undo)
            self._start(directory, self._write_configuration(proxy))
            self._cleanup = undo.pop_all()

    def close(self) -> None:
        """End containerd, its containers and its mounts; a second call does nothing."""
        self._cleanup.close()

    @property
    def version(self) -> str:
        """The version of containerd."""
        return self._installation.version

    def import_image(self) -> None:
        """Make the demo's image, three layers, and unpack it."""
        archive = self._home / "image.tar"
        programs.run(sys.executable, str(IMAGE_MAKER), str(archive))
        try:
            self.ctr("images", "import", "--snapshotter", self._snapshotter, archive)
        finally:
            archive.unlink()

    @property
    def shared(self) -> Path:
        """The directory that every container sees as :data:`SHARED`."""
        return self._home / "shared"

    def run(self, name: str, *command: str) -> None:
        """Run ``command`` in a new container, which is removed with its snapshot.

        Raises:
            UnavailableError: ctr failed; the text has its words.
        """
        mount = f"type=bind,src={self.shared},dst={SHARED},options=rbind:rw"
        self.ctr(
            *("run", "--rm", "--snapshotter", self._snapshotter, "--mount", mount),
            *("--cgroup", f"{self._cgroup}/{name}", IMAGE, name, *command),
        )

    def ctr(self, *words: str | Path) -> str:
        """Run ``ctr``; return what it printed.

        Raises:
            UnavailableError: It failed; the text has its words.
        """
        done = self._run(*self._ctr, *words)
        if done.returncode != 0:
            raise UnavailableError(f"ctr {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def ctr_to(self, output: Path, *words: str | Path) -> None:
        """Run ``ctr``; what it prints, bytes of any kind, goes to ``output``.

        Raises:
            UnavailableError: It failed; the text has its words.
        """
        # The shell only opens the file: ctr's words are no part of its program.
        program = ("sh", "-c", 'exec "$@" >"$0"', output)
        done = self._run(*program, *self._ctr, *words)
        if done.returncode != 0:
            raise UnavailableError(f"ctr {words[0]}: {done.stderr.strip()}")

    def follow_events(self, output: Path) -> None:
        """Have ``ctr events`` write each event to ``output``, a line each.

        It begins some time later, and ends with containerd.
        """
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - containerd's own client
                [*self._enter, *self._ctr, "events"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.DEVNULL,
            )
        self._followers.append(process)

    def processes(self) -> Sequence[int]:
        """Return containerd and what it started."""
        if self._outside is None:
            return []
        try:
            outside = psutil.Process(self._outside.pid)
            return [child.pid for child in outside.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    @property
    def _address(self) -> Path:
        return self._home / "c.sock"

    @property
    def _ctr(self) -> tuple[str | Path, ...]:
        return (self._installation.programs / "ctr", "--address", self._address)

    def _settings(self) -> Sequence[str]:
        """Return the words that add to the environment of a program."""
        path = [str(self._installation.programs), *search_path()]
        return (
            "env",
            f"PATH={os.pathsep.join(path)}",
            f"TMPDIR={self._home}",
            # `python -m snapfs` finds the package wherever it is run.
            f"PYTHONPATH={Path(snapfs.__file__).resolve().parents[1]}",
        )

    def _run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - containerd's own client
            [*self._enter, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    def _open_namespaces(self, undo: contextlib.ExitStack) -> Sequence[str]:
        """Make the namespaces; return the words that run a program in them."""
        holder = subprocess.Popen(  # noqa: S603 - fixed words
            [*_NAMESPACES, "--mount-proc", "sh", "-c", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        undo.callback(_end, holder)
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise UnavailableError("cannot make a mount and a PID namespace")
        [init] = psutil.Process(holder.pid).children()
        return ("nsenter", f"--target={init.pid}", "--mount", "--pid", "--")

    def _write_configuration(self, proxy: str) -> Path:
        main, imported = self._home / "c.toml", self._home / "plugin.toml"
        toml = "version = 2\n"
        if proxy:
            toml = self._run(
                *(*self._settings(), sys.executable, "-m", "snapfs"),
                *("config", "containerd"),
                *("--containerd-version", self.version, "--address", proxy),
                "--differ" if self._has_differ else "--no-differ",
            ).stdout
        imported.write_text(toml)
        disabled = ", ".join(f'"{name}"' for name in _DISABLED)
        main.write_text(
            f'version = 2\ndisabled_plugins = [{disabled}]\nimports = ["{imported}"]\n'
        )
        return main

    def _start(self, directory: Path, configuration: Path) -> None:
        log = self._home / "containerd.log"
        words: list[str | Path] = [*self._enter, *self._settings(), "containerd"]
        words += ["--config", configuration, "--address", self._address]
        words += ["--root", directory / "containerd", "--state", self._home / "state"]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - containerd itself
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._outside = process
        deadline = time.monotonic() + _TIMEOUT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"containerd: {log.read_text()[-2000:]}")
            time.sleep(_POLL_S)

    def _wait(self) -> None:
        """Wait for the end of containerd and of ctr, which their namespaces bring."""
        for process in (self._outside, *self._followers):
            if process is not None:
                process.wait(_TIMEOUT_S)

    def _answers(self) -> bool:
        if not self._address.exists():
            return False
        return self._run(*self._ctr, "version").returncode == 0


def _end(holder: subprocess.Popen[bytes]) -> None:
    """End the namespaces: their first process ends at the end of its input."""
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.close()
    holder.stdout.close()
    try:
        holder.wait(_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        holder.kill()  # --kill-child takes the others along
        holder.wait()
