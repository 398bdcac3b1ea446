"""Overlay contexts of fsopen(2): what this kernel takes, asked without mounting.

Setting a parameter on a context that is never created has no effect, so it is a
probe. Before Linux 6.5 overlayfs had no parser for single parameters: its contexts
take any word and complain only at the end, which a made-up word reveals.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator

from snapfs import syscalls
from snapfs.light_typing import Final

_MADE_UP: Final = "snapfs_made_up"
_LOG_MESSAGE_MAX: Final = 8192
# A seccomp filter may answer EPERM, or EINVAL, for calls that it does not know.
_NO_CALL: Final = (errno.ENOSYS, errno.EPERM, errno.ENODEV, errno.EINVAL)


@contextlib.contextmanager
def overlay_context() -> Iterator[int]:
    """Open a context for overlayfs; close it in the end.

    Raises:
        OSError: ENOSYS before Linux 5.2, ENODEV without overlayfs, EPERM without
            CAP_SYS_ADMIN in the user namespace of the mount namespace.
    """
    fd = syscalls.fsopen("overlay")
    try:
        yield fd
    finally:
        os.close(fd)


def read_log(fd: int) -> str:
    """Take the kernel's messages out of a context; return them in one line."""
    messages = []
    while True:
        try:
            raw = os.read(fd, _LOG_MESSAGE_MAX)
        except OSError:  # ENODATA: no more; a log that fails must not hide an error
            break
        if not raw:
            break
        # "e overlay: text": the level, then who says it.
        text = raw.decode(errors="replace").strip().partition(" ")[2]
        messages.append(text.replace("\n", " "))
    return "; ".join(messages)


def has_parser() -> bool:
    """Tell whether overlay contexts take their parameters one by one.

    Raises:
        OSError: As for :func:`overlay_context`.
    """
    return not _takes(_MADE_UP, "1")


def takes_string(key: str, value: str) -> bool:
    """Tell whether overlayfs knows ``key`` and takes ``value`` for it.

    Raises:
        OSError: As for :func:`overlay_context`.
    """
    return has_parser() and _takes(key, value)


def takes_flag(key: str) -> bool:
    """Tell whether overlayfs knows the word ``key``.

    Raises:
        OSError: As for :func:`overlay_context`.
    """
    return has_parser() and _takes(key, None)


def takes_descriptor(key: str, fd: int) -> bool:
    """Tell whether overlayfs takes the open directory ``fd`` for ``key``.

    Raises:
        OSError: As for :func:`overlay_context`.
    """
    return has_parser() and _takes(key, fd)


@functools.cache
def takes_layers() -> bool:
    """Tell whether layers can be added one by one (``lowerdir+``, Linux 6.7)."""
    try:
        return takes_string("lowerdir+", "/")
    except OSError as error:
        if error.errno in _NO_CALL:
            return False
        raise


def _takes(key: str, value: str | int | None) -> bool:
    with overlay_context() as fd:
        try:
            if value is None:
                syscalls.fsconfig_flag(fd, key)
            elif isinstance(value, int):
                syscalls.fsconfig_fd(fd, key, value)
            else:
                syscalls.fsconfig_string(fd, key, value)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
    return True
