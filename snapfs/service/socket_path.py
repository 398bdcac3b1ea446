"""The path of a unix socket: claimed safely, published ready, removed if still ours.

The socket is bound in a private directory (0700) beside its place and gets its mode
there; once the server accepts calls it is renamed into place. Nobody ever sees it with
another mode, or connects to it too early.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from snapfs import syscalls
from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
)

_log = logging.getLogger(__name__)

# unix(7): sun_path has 108 bytes, the last of which is the terminating NUL.
MAX_PATH_BYTES: Final = 107

# What an error means for a place; any other: this host has no such place.
_CLASSES: Final[dict[int, type[SnapfsError]]] = {
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.EEXIST: FailedPreconditionError,
    errno.ENOTDIR: FailedPreconditionError,
    errno.EDQUOT: ResourceExhaustedError,
    errno.ENOSPC: ResourceExhaustedError,
}

# Others may pass through to sockets that let them in, but not list what is there.
_DIRECTORY_MODE: Final = 0o711

# Time for a live server to accept; the kernel does that for it unless its queue is
# full.
_PROBE_TIMEOUT_S: Final = 2.0


class SocketPath:
    """One place for a unix socket, from the claim to the removal.

    ``bind_path`` is where the server binds; ``publish`` moves the socket into place;
    ``remove`` takes it away again, or what is left of it at any earlier step.

    Args:
        address: An absolute path. The directories above are made if they are missing.
        mode: The mode of the socket.
        group: The group that owns it; None for the process's own.
        allow_long: Accept more than 107 bytes. Only clients that know the way through
            ``/proc/self/fd`` reach such a socket; snapfs does, containerd does not.

    Raises:
        InvalidArgumentError: ``address`` is not absolute, or too long.
        FailedPreconditionError: Another process listens there, or what is there is
            not a socket.
        PermissionDeniedError: The directory cannot be written.
        ResourceExhaustedError: The disk is full.
        UnavailableError: The directory cannot be made or used.
    """

    def __init__(
        self,
        address: str,
        *,
        mode: int = 0o600,
        group: int | None = None,
        allow_long: bool = False,
    ) -> None:
        _check_address(address, allow_long=allow_long)
        self._address = address
        self._mode = mode
        self._group = group
        self._parent, self._name = os.path.split(address)
        self._identity: tuple[int, int] | None = None
        with _refusal_named(address):
            _make_directories(Path(self._parent))
            with _locked(self._parent) as parent_fd:
                _clear_place(parent_fd, self._name, address)
            self._private = tempfile.mkdtemp(prefix=".snapfs-", dir=self._parent)
        # Kept open for as long as the server lives, because the server may look at
        # ``bind_path`` again when it stops. The name is random for the same reason:
        # no other socket answers to it even if the descriptor's number is reused.
        self._private_fd = os.open(self._private, os.O_PATH | os.O_DIRECTORY)
        self._bind_name = secrets.token_hex(8)

    @property
    def bind_path(self) -> str:
        """Where to bind: short, and without a byte that a URI would escape."""
        return f"/proc/self/fd/{self._private_fd}/{self._bind_name}"

    def publish(self) -> None:
        """Give the bound socket its mode and move it into place.

        Raises:
            FailedPreconditionError: Something took the place meanwhile.
            PermissionDeniedError: The group is none that this process may give.
        """
        bound = os.path.join(self._private, self._bind_name)
        with _refusal_named(self._address):
            if self._group is not None:
                os.chown(bound, -1, self._group)
            os.chmod(bound, self._mode)
        status = os.lstat(bound)
        with _refusal_named(self._address), _locked(self._parent) as parent_fd:
            _clear_place(parent_fd, self._name, self._address)
            syscalls.renameat2(
                self._bind_name,
                self._name,
                syscalls.RENAME_NOREPLACE,
                old_dir_fd=self._private_fd,
                new_dir_fd=parent_fd,
            )
        self._identity = (status.st_dev, status.st_ino)
        shutil.rmtree(self._private)

    def remove(self) -> None:
        """Take the socket away if it is still ours; a second call does nothing.

        Another server may have claimed the place, after this one's socket was
        deleted by hand.
        """
        if self._private_fd < 0:
            return
        os.close(self._private_fd)
        self._private_fd = -1
        shutil.rmtree(self._private, ignore_errors=True)  # gone once published
        if self._identity is None:
            return
        try:
            with _locked(self._parent) as parent_fd:
                status = os.stat(self._name, dir_fd=parent_fd, follow_symlinks=False)
                if (status.st_dev, status.st_ino) == self._identity:
                    os.unlink(self._name, dir_fd=parent_fd)
        except FileNotFoundError:
            pass  # somebody was faster; it is gone, as asked
        except OSError as error:
            _log.warning("socket %s is left behind: %s", self._address, error)


def refuse_address(address: str) -> None:
    """Raise what :class:`SocketPath` would for ``address``; make nothing.

    For who wants to know before other work: the place may be taken afterwards.
    """
    _check_address(address, allow_long=False)
    parent, name = os.path.split(address)
    with _refusal_named(address):
        try:
            with _locked(parent) as parent_fd:
                _refuse_taken(parent_fd, name, address)
        except FileNotFoundError:
            _refuse_closed(Path(parent))  # the place is still to be made


def _refuse_closed(directory: Path) -> None:
    """Refuse a place that this process may not make."""
    while not directory.exists():
        directory = directory.parent
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))


def _check_address(address: str, *, allow_long: bool) -> None:
    if not os.path.isabs(address) or address.endswith("/") or "\0" in address:
        raise InvalidArgumentError(
            f"socket address {address!r} is not the absolute path of a file"
        )
    size = len(os.fsencode(address))
    if size > MAX_PATH_BYTES and not allow_long:
        raise InvalidArgumentError(
            f"socket address {address!r} has {size} bytes; the kernel's limit for a"
            f" unix socket is {MAX_PATH_BYTES}; choose a shorter path"
        )


def _make_directories(directory: Path) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(_DIRECTORY_MODE)  # whatever the umask


@contextlib.contextmanager
def _refusal_named(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error_class = _CLASSES.get(error.errno or 0, UnavailableError)
        raise error_class(
            f"socket {address!r} cannot be made: {error.strerror}; choose another"
            " --address"
        ) from error


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[int]:
    """Yield a descriptor of ``directory``; one process at a time looks and claims."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _clear_place(parent_fd: int, name: str, address: str) -> None:
    """Remove a socket that nobody listens on; refuse anything else that is there."""
    with contextlib.suppress(FileNotFoundError):  # nothing is there
        _refuse_taken(parent_fd, name, address)
        os.unlink(name, dir_fd=parent_fd)


def _refuse_taken(parent_fd: int, name: str, address: str) -> None:
    """Refuse anything but a socket that nobody listens on.

    Raises:
        FileNotFoundError: Nothing is there.
        FailedPreconditionError: Something else is.
    """
    status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if not stat.S_ISSOCK(status.st_mode):
        raise FailedPreconditionError(
            f"{address!r} exists and is not a socket; remove it or choose another"
            " address"
        )
    if _is_live(f"/proc/self/fd/{parent_fd}/{name}"):
        raise FailedPreconditionError(
            f"another process listens on {address!r}; stop it or choose another address"
        )


def _is_live(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError as error:
            # Its queue is full (EAGAIN, or a time-out): busy, but there. A socket of
            # another type (EPROTOTYPE) belongs to somebody else.
            if error.errno in (errno.EAGAIN, errno.EPROTOTYPE, None):
                return True
            raise
    return True
