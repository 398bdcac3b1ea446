"""``install-helper``: put the launcher of ``snapfs-fuse`` where mount.fuse3 looks."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Final

import click

import snapfs
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.errors import AlreadyExistsError, NotFoundError, PermissionDeniedError

_NAME: Final = "snapfs-fuse"
# For "mount -t fuse.snapfs-fuse", and for "-t fuse3.snapfs-fuse", whose first part
# mount.fuse3 takes for one of the program's name. containerd calls it by the first.
_NAMES: Final = (_NAME, f"fuse3.{_NAME}")
_DIRECTORY: Final = "/usr/local/bin"
# What each program that starts the helper must hold, the one of pip included.
_SIGN: Final = b"snapfs.fuse.helper"
_LONGEST: Final = 1 << 16  # launchers are far shorter


@click.command(
    cls=Command,
    short_help="Let containerd mount by the FUSE driver.",
    epilog=examples(
        "snapfs install-helper",
        "snapfs install-helper --directory /usr/bin",
        "snapfs install-helper --uninstall",
    ),
)
@click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(file_okay=False),
    default=_DIRECTORY,
    show_default=True,
    help="Where to put it: a directory of the system's search path.",
)
@click.option("--uninstall", is_flag=True, help="Remove it again.")
@pass_session
def install_helper(session: Session, directory: str, uninstall: bool) -> None:
    """Write the launcher snapfs-fuse, which mount.fuse3 runs for containerd.

    It starts the helper of this very installation. Running it again changes nothing,
    or points the launcher to the installation that ran it last. A file of that name
    that is not of snapfs is never touched. `snapfs doctor` tries it.
    """
    paths = [os.path.join(os.path.abspath(directory), name) for name in _NAMES]
    path = paths[0]
    try:
        for each in paths:
            _refuse_foreign(each, _content(each))
        change = _remove if uninstall else _install
        changes = [change(each) for each in paths]
    except FileNotFoundError as error:
        raise NotFoundError(f"directory {directory!r} does not exist") from error
    except OSError as error:
        raise PermissionDeniedError(
            f"cannot write {path!r}: {error.strerror}; run as root, or choose another"
            " --directory"
        ) from error
    has_changed = any(changes)
    state = "removed" if uninstall else "installed"
    if session.output.as_json:
        session.output.document(
            {"launcher": path, "state": state, "changed": has_changed}
        )
    else:
        session.output.note(f"{path} {state if has_changed else f'was {state} before'}")


def _install(path: str) -> bool:
    """Write the launcher; return whether that changed anything."""
    from snapfs.fuse.helper.launcher import launcher_text

    package_root = os.path.dirname(os.path.dirname(os.path.abspath(snapfs.__file__)))
    text = os.fsencode(launcher_text(sys.executable, package_root))
    found = _content(path)
    if found == text and os.access(path, os.X_OK):
        return False
    fd, temporary = tempfile.mkstemp(prefix=f".{_NAME}-", dir=os.path.dirname(path))
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o755)
            os.fsync(file.fileno())
        os.rename(temporary, path)  # who starts it meets the old one or the new one
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def _remove(path: str) -> bool:
    if not os.path.lexists(path):
        return False
    os.unlink(path)
    return True


def _content(path: str) -> bytes | None:
    """Return what is at ``path``; None for nothing; a link is followed by nobody."""
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read(_LONGEST)


def _refuse_foreign(path: str, found: bytes | None) -> None:
    if found is not None and _SIGN not in found:
        raise AlreadyExistsError(
            f"{path!r} is not of snapfs, and stays; move it away, or choose another"
            " --directory"
        )
