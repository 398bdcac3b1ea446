"""Small durable file operations, each with the sync that makes it last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from snapfs import syscalls
from snapfs.light_typing import Final

# ext2/3/4 and XFS (linux/magic.h): fsync sends a flush to the data's device whatever
# the file (ext4_sync_file, xfs_file_fsync). Not btrfs and others that write elsewhere.
_OVERWRITES_IN_PLACE: Final = frozenset({0xEF53, 0x58465342})


@contextlib.contextmanager
def open_directory(path: str) -> Iterator[int]:
    """Yield a descriptor of the directory ``path``; it is closed afterwards."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_directory(path: str) -> None:
    """Put the names in ``path`` on disk (fsync(2): entries are not part of files)."""
    with open_directory(path) as descriptor:
        os.fsync(descriptor)


def sync_file(path: str) -> None:
    """Put the content of the file ``path`` on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset``; pwrite(2) may write less at a time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def settle_with_next_sync(descriptor: int) -> None:
    """Have a change within a file's blocks on disk once the next sync here is done.

    The next sync is that of any file on the same filesystem: it flushes the device's
    cache, and this call has the change in that cache. It saves a flush of its own,
    which is most of what a small durable change costs. Sound only where a file's
    blocks are overwritten in place and nothing but the data changed; elsewhere this
    is fdatasync(2), and the change is on disk on return.
    """
    if syscalls.statfs_type(descriptor) in _OVERWRITES_IN_PLACE:
        syscalls.write_out(descriptor)
    else:
        os.fdatasync(descriptor)


def replace_file(path: str, data: bytes) -> None:
    """Give ``path`` the content ``data``, atomically and durably.

    After a crash the file is either as it was or complete.
    """
    temporary = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
        try:
            write_all(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):  # it may never have been made
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))
