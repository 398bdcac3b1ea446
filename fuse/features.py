"""What this host can do for FUSE mounts, tried out, with the evidence.

As in the kernel driver, nothing is concluded from a version number. A probe answers
no request of its mount but the first, which is enough to see that the kernel goes
along; only the one for the installed helper runs a server.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from snapfs import overlay_format
from snapfs.driver import Feature
from snapfs.errors import PermissionDeniedError, SnapfsError, UnavailableError
from snapfs.fuse.driver import HELPER
from snapfs.fuse.mounting import unmount_union
from snapfs.fuse.session import Connection, MountOptions, fusermount, initialise, mount
from snapfs.fuse.session.mounting import DEVICE
from snapfs.fuse.wire import InitFlag, Wishes, ioctls
from snapfs.overlay_format import XattrPrefix

MOUNT_PROGRAM: Final = "mount.fuse3"
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where services look for programs; mount.fuse3 leaves the search to a shell."""

_SCRATCH_PREFIX: Final = ".snapfs-probe-"
_PASSTHROUGH_DEPTH: Final = 2
"""The backing file's filesystem may itself be stacked once (``max_stack_depth``)."""
_HELPER_TIMEOUT_S: Final = 30.0  # for a launcher that never answers

_Answer = tuple[bool, str]


def probe_features(directory: str) -> list[Feature]:
    """Try out what the FUSE driver can make use of.

    Works without privileges too; leaves no mount and no file behind.

    Args:
        directory: Where a store is or would be; scratch directories are made in it.
    """
    probes: tuple[tuple[str, Callable[[], _Answer]], ...] = (
        ("fuse-device", _device),
        ("fusermount3", _fusermount),
        ("fuse-mount", _mount),
        ("fuse-passthrough", _passthrough),
        ("fuse-helper", _helper),
        ("fuse-storage", partial(_storage, directory)),
    )
    return [_probed(name, probe) for name, probe in probes]


def check_fuse() -> None:
    """Make sure that this process can mount FUSE filesystems.

    Raises:
        UnavailableError: It cannot; the message says why.
    """
    try:
        with _mounted():
            pass
    except OSError as error:
        raise UnavailableError(
            f"this process cannot make FUSE mounts: {_said(error)}"
        ) from error


def check_storage(root: str, prefix: XattrPrefix) -> None:
    """Make sure that ``root`` can hold the upperdirs of unions.

    Raises:
        UnavailableError: Its filesystem takes no such attributes or no whiteouts.
        PermissionDeniedError: This process may not write there.
    """
    try:
        with _scratch(root) as scratch:
            _try_storage(scratch, prefix)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return  # a store on a full disk must still open, so that snapshots can go
        if error.errno in (errno.EACCES, errno.EROFS):
            raise PermissionDeniedError(
                f"{root!r} cannot be written ({error.strerror}); run as its owner, or"
                " choose another root"
            ) from error
        raise UnavailableError(
            f"the filesystem of {root!r} cannot hold the changes of a union:"
            f" {_said(error)}"
        ) from error


def _probed(name: str, probe: Callable[[], _Answer]) -> Feature:
    try:
        available, evidence = probe()
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "?")
        return Feature(name, False, f"{_said(error)} ({code})")
    except SnapfsError as error:
        return Feature(name, False, str(error))
    return Feature(name, available, evidence)


def _said(error: OSError) -> str:
    text = (error.strerror or str(error)).replace("\n", "; ")
    name = error.filename
    return f"{text} ({os.fsdecode(name)})" if name and name == DEVICE else text


@contextlib.contextmanager
def _scratch(directory: str | None = None) -> Iterator[str]:
    path = tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=directory)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextlib.contextmanager
def _mounted() -> Iterator[Connection]:
    """Mount on a scratch directory, which nobody looks into; unmount in the end."""
    options = MountOptions(read_ahead_kb=0)
    with _scratch() as target, mount(target, options) as connection:
        yield connection


def _device() -> _Answer:
    os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    return True, f"{DEVICE} can be opened"


def _fusermount() -> _Answer:
    path = fusermount.find()
    if os.geteuid() == 0 or os.stat(path).st_mode & 0o4000:
        return True, path
    return False, f"{path} is not set-uid root"


def _mount() -> _Answer:
    with _mounted() as connection:
        by = "fusermount3" if connection.by_helper else "this process"
    return True, f"{by} mounted one"


def _passthrough() -> _Answer:
    wishes = Wishes(flags=InitFlag.PASSTHROUGH, max_stack_depth=_PASSTHROUGH_DEPTH)
    with _mounted() as connection, tempfile.TemporaryFile() as file:
        agreed = initialise(connection.fd, wishes)
        if not agreed.flags & InitFlag.PASSTHROUGH:
            return False, "the kernel does not offer it (before Linux 6.9)"
        _register(connection.fd, file.fileno())
    return True, "the kernel took a file to read and write by itself"


def _register(connection_fd: int, fd: int) -> None:
    wanted = bytearray(ioctls.BACKING_MAP.pack(fd, 0))
    backing_id = fcntl.ioctl(connection_fd, ioctls.BACKING_OPEN, wanted)
    fcntl.ioctl(
        connection_fd,
        ioctls.BACKING_CLOSE,
        bytearray(ioctls.BACKING_ID.pack(backing_id)),
    )


def _helper() -> _Answer:
    """Mount a union as containerd does: by mount.fuse3, which finds the launcher."""
    program = shutil.which(MOUNT_PROGRAM, path=_SYSTEM_PATH)
    if program is None:
        return False, f"{MOUNT_PROGRAM} is not installed (Debian: fuse3)"
    launcher = shutil.which(HELPER, path=_SYSTEM_PATH)
    if launcher is None:
        return False, f"{HELPER} is not in {_SYSTEM_PATH}; `snapfs install-helper`"
    with _scratch() as scratch:
        lower, target = os.path.join(scratch, "lower"), os.path.join(scratch, "merged")
        for path in (lower, target):
            os.mkdir(path)
        done = subprocess.run(  # noqa: S603 - the program found above
            [program, "snapfs", target, "-o", f"lowerdir={lower}", "-t", HELPER],
            env={"PATH": _SYSTEM_PATH},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            said = " ".join(os.fsdecode(done.stderr).split())
            return False, said or f"{program} ended with status {done.returncode}"
        unmount_union(os.path.realpath(target), lazy=True)
    return True, f"{program} mounted a union by {launcher}"


def _storage(directory: str) -> _Answer:
    prefix = overlay_format.fitting_prefix()
    with _scratch(directory) as scratch:
        _try_storage(scratch, prefix)
    return True, f"took {prefix}* attributes and a whiteout"


def _try_storage(scratch: str, prefix: XattrPrefix) -> None:
    try:
        overlay_format.set_opaque(scratch, prefix)
    except OSError as error:
        text = f"no {prefix}* attributes: {error.strerror}"
        raise OSError(error.errno, text, scratch) from error
    try:
        overlay_format.make_whiteout(os.path.join(scratch, "whiteout"))
    except OSError as error:
        text = f"no whiteouts (character device 0:0): {error.strerror}"
        raise OSError(error.errno, text, scratch) from error
