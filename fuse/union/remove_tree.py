"""Removing a tree by descriptors, of any depth."""

from __future__ import annotations

import os

from snapfs.light_typing import Final

_PATH_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Remove an entry with all below it, however deep; it may be gone already.

    By descriptors, one component at a time: depth is bounded by neither a path's
    length nor the stack of calls.

    Raises:
        OSError: From the filesystem.
    """
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass  # EPERM: what POSIX says of a directory
    else:
        return
    _remove_directory(dir_fd, name)


def _remove_directory(dir_fd: int, name: bytes) -> None:
    # Each directory found inside moves up to the top: so none is deeper than one.
    pending = [name]
    prefix = b"#x" + os.urandom(8).hex().encode()
    counter = 0
    while pending:
        current = pending[-1]
        fd = os.open(current, _PATH_DIRECTORY, dir_fd=dir_fd)
        try:
            for entry in list_names(fd, b"."):
                try:
                    os.unlink(entry, dir_fd=fd)
                except (IsADirectoryError, PermissionError):
                    counter += 1
                    moved = b"%s.%x" % (prefix, counter)
                    os.rename(entry, moved, src_dir_fd=fd, dst_dir_fd=dir_fd)
                    pending.append(moved)
        finally:
            os.close(fd)
        if pending[-1] is current:
            pending.pop()
            os.rmdir(current, dir_fd=dir_fd)


def list_names(dir_fd: int, name: bytes) -> list[bytes]:
    """Return the names in a directory below an open one.

    Raises:
        OSError: From openat(2) or getdents64(2).
    """
    fd = os.open(name, _READ_DIRECTORY, dir_fd=dir_fd)
    try:
        return [os.fsencode(entry) for entry in os.listdir(fd)]
    finally:
        os.close(fd)
