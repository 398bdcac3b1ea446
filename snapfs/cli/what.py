"""WHAT: how the word that names something to mount becomes mounts.

``snapshot:KEY``, ``dir:DIR`` and ``layers:DIR:DIR:...`` say what they are; a word
that begins with ``/`` or ``.`` is a path; any other is a key or a name.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Final, TypeVar

import click

from snapfs.cli.session import Session, near_keys, suggesting
from snapfs.cli.wording import counted
from snapfs.errors import InvalidArgumentError, NotFoundError, UnavailableError
from snapfs.model import Kind, Mount, Stack
from snapfs.snapshotter import Store

_Function = TypeVar("_Function", bound=Callable[..., object])

# The words of the command line for images; nothing here mounts one unpacked.
_IMAGE_SCHEMES: Final = (
    "oci:",
    "oci-archive:",
    "docker-archive:",
    "docker:",
    "containerd:",
    "tar:",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """What may happen to the mounted tree.

    Attributes:
        is_writable: Whether it takes changes.
        upper: A directory for the changes: ``fs`` and ``work`` are made below it.
            "" leaves them in the active snapshot itself.
    """

    is_writable: bool = False
    upper: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class MountPlan:
    """What will be mounted, and who does it.

    Attributes:
        what: The word that the user gave.
        mounts: To be mounted in order.
        is_writable: Whether the tree takes changes.
        driver: The driver that wrote the mounts down.
        reason: Why this driver, as a clause.
    """

    what: str
    mounts: tuple[Mount, ...]
    is_writable: bool
    driver: str
    reason: str

    def __str__(self) -> str:
        """Return one line for the user."""
        mode = "read-write" if self.is_writable else "read-only"
        return f"{mode}, {self.driver} driver ({self.reason}), {self._form()}"

    def _form(self) -> str:
        layers = 0
        for option in self.mounts[-1].options:
            name, _, value = option.partition("=")
            if name == "lowerdir":
                layers += value.count(":") + 1
            elif name in ("lowerdir+", "upperdir"):
                layers += 1
        if self.mounts[-1].type == "bind":
            return "bind mount of its one directory"
        number = counted(layers, "directory", "directories")
        return f"{self.mounts[-1].type} mount of {number}"


def access_options(function: _Function) -> _Function:
    """Add ``--ro``, ``--rw`` and ``--upper`` to a command that is read-only without."""
    return _with_options(
        function, "Refuse writes; the default.", "Let the mounted tree be changed."
    )


def throwaway_options(function: _Function) -> _Function:
    """Add the same to a command that may write and forgets it without."""
    return _with_options(
        function, "Refuse writes.", "Leave its changes in the active snapshot WHAT."
    )


def _with_options(function: _Function, ro_help: str, rw_help: str) -> _Function:
    for option in (
        click.option(
            "--upper",
            metavar="DIR",
            type=click.Path(file_okay=False),
            default="",
            help="Keep the changes in DIR (DIR/fs, DIR/work); implies --rw.",
        ),
        click.option("--rw", "writable", is_flag=True, help=rw_help),
        click.option("--ro", "read_only", is_flag=True, help=ro_help),
    ):
        function = option(function)
    return function


def parse_access(read_only: bool, writable: bool, upper: str) -> Access:
    """Return what the three options mean together.

    Raises:
        click.UsageError: They contradict each other.
    """
    if read_only and (writable or upper):
        other = "--rw" if writable else "--upper"
        raise click.UsageError(f"--ro and {other} exclude each other")
    # No resolve_path in the option: click would make "" the current directory.
    upper = os.path.realpath(upper) if upper else ""
    return Access(is_writable=writable or bool(upper), upper=upper)


def resolve(session: Session, what: str, access: Access) -> MountPlan:
    """Return the mounts that show ``what``; make ``access.upper`` if it is needed.

    Raises:
        click.UsageError: ``what`` is neither a known form nor a key.
        NotFoundError: A snapshot that is named as such, or a directory, is missing.
        InvalidArgumentError: It cannot be mounted like this.
    """
    scheme, colon, rest = what.partition(":")
    if what.startswith(("/", ".")):
        return _directories(session, what, [what], access)
    if colon and scheme == "dir":
        return _directories(session, what, [rest], access)
    if colon and scheme == "layers":
        return _directories(session, what, rest.split(":"), access)
    if colon and scheme == "snapshot":
        with session.store() as store, suggesting(store, rest):
            return _snapshot(session, store, what, rest, access)
    with session.store() as store:
        try:
            return _snapshot(session, store, what, what, access)
        except NotFoundError as error:
            raise click.UsageError(_unknown(store, what)) from error


def _unknown(store: Store, what: str) -> str:
    if what.startswith(_IMAGE_SCHEMES):
        return (
            f"{what!r} names an image; snapshots, 'dir:DIR' and 'layers:DIR:DIR' "
            "can be mounted"
        )
    near = near_keys(store, what) or (
        "; a directory is written 'dir:DIR' or begins with '/' or '.'"
    )
    return f"{what!r} is no snapshot{near}"


def _snapshot(
    session: Session, store: Store, what: str, key: str, access: Access
) -> MountPlan:
    details = store.details(key)
    if access.upper:
        upperdir, workdir = _make_upper(access.upper)
        mounts = store.browse_mounts(key, upperdir=upperdir, workdir=workdir)
    elif not access.is_writable:
        mounts = store.browse_mounts(key)
    elif details.info.kind is Kind.ACTIVE:
        mounts = store.mounts(key)
    else:
        raise InvalidArgumentError(
            f"snapshot {key!r} is {_article(details.info.kind)} and never changes; "
            "'--upper DIR' keeps the changes in DIR"
        )
    reason = f"recorded when {key!r} was prepared"
    if session.driver != "auto":
        reason += f"; --driver {session.driver} is for new snapshots"
    return MountPlan(what, tuple(mounts), access.is_writable, details.driver, reason)


def _article(kind: Kind) -> str:
    return "a view" if kind is Kind.VIEW else str(kind)


def _directories(
    session: Session, what: str, names: list[str], access: Access
) -> MountPlan:
    """Return the mounts of plain directories, highest first."""
    # Imported late: the kernel driver is no business of most commands.
    from snapfs.kernel_overlay.driver import OverlayDriver
    from snapfs.overlay_format import fitting_prefix

    if session.driver == "fuse":
        raise UnavailableError(
            "the FUSE driver is not part of this version; use --driver kernel"
        )
    if access.is_writable and not access.upper:
        raise InvalidArgumentError(
            f"{what!r} is mounted read-only, or with '--upper DIR' for the changes"
        )
    lowerdirs = tuple(_directory(name) for name in names)
    upperdir, workdir = _make_upper(access.upper) if access.upper else ("", "")
    stack = Stack(
        kind=Kind.ACTIVE if access.upper else Kind.VIEW,
        lowerdirs=lowerdirs,
        upperdir=upperdir,
        workdir=workdir,
    )
    mounts = OverlayDriver(xattr_prefix=fitting_prefix()).local_mounts(stack)
    reason = (
        "chosen by --driver"
        if session.driver == "kernel"
        else "chosen by 'auto': it needs no process to serve the mount"
    )
    return MountPlan(what, tuple(mounts), access.is_writable, "kernel", reason)


def _directory(name: str) -> str:
    """Return the absolute path of an existing directory."""
    path = os.path.realpath(name)
    if not name or not os.path.lexists(path):
        raise NotFoundError(f"directory {name!r} does not exist")
    if not os.path.isdir(path):
        raise InvalidArgumentError(f"{name!r} is not a directory")
    return path


def _make_upper(upper: str) -> tuple[str, str]:
    """Make ``fs`` and ``work`` in ``upper``, with the modes that containerd uses."""
    upperdir, workdir = os.path.join(upper, "fs"), os.path.join(upper, "work")
    os.makedirs(upper, mode=0o700, exist_ok=True)
    for path, mode in ((upperdir, 0o755), (workdir, 0o711)):
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chmod(path, mode)  # whatever the umask
    return upperdir, workdir
