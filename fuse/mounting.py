"""Run the mount helper for a written-down mount, and take such a mount away."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from snapfs import errors, syscalls
from snapfs.fuse.driver import HELPER
from snapfs.fuse.helper.launcher import launcher_words
from snapfs.model import Mount

MOUNT_TYPES: Final = (f"fuse3.{HELPER}", f"fuse.{HELPER}")

# How the helper ends; see the table of exit codes of the command line.
_ERRORS: Final[Mapping[int, type[errors.SnapfsError]]] = MappingProxyType(
    {
        2: errors.InvalidArgumentError,
        3: errors.NotFoundError,
        4: errors.AlreadyExistsError,
        5: errors.FailedPreconditionError,
        6: errors.UnavailableError,
        7: errors.DataLossError,
    }
)


def mount_union(mount: Mount, target: str) -> None:
    """Mount a union on the directory ``target``; on return it is live.

    A process of its own serves it until it is unmounted, whatever becomes of the
    caller.

    Raises:
        InvalidArgumentError: The helper refuses an option.
        NotFoundError: ``target``, or a directory to be mounted, does not exist.
        UnavailableError: This host has no FUSE, or not for this user.
        SnapfsError: Nothing is mounted, for another reason.
    """
    command = [
        *launcher_words(sys.executable, _package_root()),
        *(mount.source, target, "-o", ",".join(mount.options)),
    ]
    done = subprocess.run(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        said = os.fsdecode(done.stderr).strip().removeprefix(f"{HELPER}: ")
        kind = _ERRORS.get(done.returncode, errors.SnapfsError)
        raise kind(said or f"{HELPER} ended with status {done.returncode}")


def _package_root() -> str:
    """Return the directory that holds the package, wherever it was loaded from."""
    # The top package is loaded; naming it here would be an import that points up.
    place = sys.modules["snapfs"].__file__
    assert place is not None, "the package has an __init__"
    return os.path.dirname(os.path.dirname(os.path.abspath(place)))


def unmount_union(target: str, *, lazy: bool = False) -> None:
    """Unmount the union on top at ``target``; its server ends then.

    Args:
        target: The mount point, with no symbolic link in its path.
        lazy: Detach it at once, even while it is in use.

    Raises:
        FailedPreconditionError: It is in use.
        SnapfsError: It could not be unmounted for another reason.
    """
    if os.geteuid() == 0:
        flags = syscalls.UMOUNT_NOFOLLOW | (syscalls.MNT_DETACH if lazy else 0)
        try:
            syscalls.umount2(target, flags)
        except OSError as error:
            raise _unmount_error(error.strerror, target) from error
        return
    program = shutil.which("fusermount3")
    if program is None:
        raise errors.UnavailableError(
            f"cannot unmount {target!r}: fusermount3 is not installed"
        )
    command = [program, "-u", *(["-z"] if lazy else []), "--", target]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise _unmount_error(os.fsdecode(done.stderr).strip(), target)


def _unmount_error(why: str | None, target: str) -> errors.SnapfsError:
    why = why or "no reason given"
    kind = (
        errors.FailedPreconditionError
        if "busy" in why.lower()
        else errors.PermissionDeniedError
        if "permitted" in why.lower()
        else errors.SnapfsError
    )
    return kind(f"cannot unmount {target!r}: {why}")
