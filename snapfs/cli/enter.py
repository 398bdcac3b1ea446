"""Run in a process of its own: enter new namespaces, mount, become the command.

The parent, :mod:`snapfs.cli.namespace`, may have threads (a connection to the owner
of a store), and a process with threads can enter no user namespace (unshare(2)).
"""

from __future__ import annotations

import json
import os
import signal
from typing import Final, NoReturn

from snapfs import syscalls
from snapfs.assembly.mounting import mount_all, unmount
from snapfs.cli.exit_codes import exit_code
from snapfs.cli.messages import describe
from snapfs.cli.oci_config import set_user
from snapfs.cli.oci_user import find_user
from snapfs.cli.output import complain
from snapfs.errors import NotFoundError, SnapfsError, UnavailableError
from snapfs.model import Mount

TREE_VARIABLE: Final = "SNAPFS_TREE"


def enter(plan_fd: int) -> NoReturn:
    """Do what the plan in the file ``plan_fd`` says; never return."""
    try:
        with open(plan_fd, encoding="utf-8") as file:
            plan = json.load(file)
        _isolate(is_privileged=plan["is_privileged"])
        mounts = [
            Mount(m["type"], m["source"], m["target"], tuple(m["options"]))
            for m in plan["mounts"]
        ]
        mount_all(mounts, plan["target"])
        if any(mount.type.startswith("fuse") for mount in mounts):
            _stay_for(plan["target"])
        if plan["user"] is not None:
            user = find_user(plan["target"], plan["user"])
            set_user(os.path.join(plan["directory"], "config.json"), user)
        os.environ[TREE_VARIABLE] = plan["target"]
        if plan["chroot"]:
            os.chroot(plan["target"])
            os.environ[TREE_VARIABLE] = "/"
        os.chdir("/" if plan["chroot"] else plan["directory"])
        _become(plan["command"])
    except (SnapfsError, OSError) as error:
        complain(describe(error))
        os._exit(exit_code(error))


def _isolate(*, is_privileged: bool) -> None:
    """Enter a mount namespace of our own, from which no mount gets out."""
    flags = syscalls.CLONE_NEWNS
    uid, gid = os.geteuid(), os.getegid()
    if not is_privileged:
        flags |= syscalls.CLONE_NEWUSER
    try:
        syscalls.unshare(flags)
    except OSError as error:
        raise UnavailableError(
            f"this host refuses new namespaces ({error.strerror}); run as root"
        ) from error
    if not is_privileged:
        # user_namespaces(7): setgroups must be off before an unprivileged gid_map.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _stay_for(target: str) -> None:
    """Go on in a child; wait here for its end, and end with it.

    A FUSE server lives in this mount namespace, and so keeps the mount: it must be
    taken away when the command is over.
    """
    child = os.fork()
    if child == 0:
        return
    # Ctrl-C is for the command: the terminal sends it to both.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    unmount(target, lazy=True)
    os._exit(code if code >= 0 else 128 - code)


def _become(command: list[str]) -> NoReturn:
    try:
        os.execvp(command[0], command)  # noqa: S606  # the command is the user's
    except FileNotFoundError as error:
        raise NotFoundError(f"command {command[0]!r} is not found") from error
