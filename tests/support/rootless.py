"""A sandbox in a user namespace of an ordinary user, as rootlesskit makes it.

Root in it is that user; the other users are those that the system gave to it, which
``/etc/subuid`` says elsewhere. The test, which is root, writes the maps that
newuidmap(1) would write, and gives a cgroup away as systemd delegates one.
"""

from __future__ import annotations

import os
import site
import subprocess
from pathlib import Path
from typing import IO, Final

import psutil

from support.sandbox import CGROUP_ROOT, REPOSITORY, Sandbox
from support.snapfs_program import SnapfsProgram
from support.unprivileged import NOBODY, _open_interpreter

USER: Final = NOBODY - 1
MAP: Final = f"0 {USER} 1\n1 200000 65536\n"

_AS_USER: Final = (
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"),
    *("unshare", "--user", "--mount", "--pid", "--fork", "--kill-child"),
)
_AS_ROOT: Final = "setpriv --reuid=0 --regid=0 --clear-groups"
_BIRTH: Final = f'echo born; read go; exec {_AS_ROOT} sh -c "$1"'
# As support.sandbox.INIT, once the maps are there. rootlesskit copies /run, too.
_INIT: Final = (
    "trap '' CHLD && mount -t proc proc /proc && mount -t tmpfs tmpfs /run"
    " && echo ready && exec cat"
)


class RootlessSandbox(Sandbox):
    """Namespaces in which nobody is more than an ordinary user of the host."""

    def _start(self) -> subprocess.Popen[bytes]:
        os.chown(self.home, USER, USER)
        self._delegate_cgroup()
        holder = subprocess.Popen(
            [*_AS_USER, "sh", "-c", _BIRTH, "sh", _INIT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdin is not None
        assert _line(holder.stdout) == b"born\n"
        [child] = psutil.Process(holder.pid).children()
        for kind in ("uid", "gid"):
            Path(f"/proc/{child.pid}/{kind}_map").write_text(MAP)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        return holder

    def _entering(self, pid: int) -> list[str]:
        namespaces = ("--user", "--mount", "--pid")
        return ["nsenter", f"--target={pid}", *namespaces, "-S0", "-G0", "--"]

    def _delegate_cgroup(self) -> None:
        folders = [path for path in CGROUP_ROOT.iterdir() if path.is_dir()]
        for root in (CGROUP_ROOT, *folders):
            if (root / "cgroup.procs").exists():
                own = Path(f"{root}{self.cgroup}")
                own.mkdir()
                for path in (own, *own.iterdir()):
                    os.chown(path, USER, USER)


def _line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


class RootlessProgram(SnapfsProgram):
    """``snapfs`` by an interpreter that every user can start."""

    @property
    def command(self) -> tuple[str | Path, ...]:
        path = os.pathsep.join([str(REPOSITORY), *site.getsitepackages()])
        program = ("env", f"PYTHONPATH={path}", _open_interpreter(), "-m", "snapfs")
        return (*program, "--root", self.root, "--driver", self.driver)
