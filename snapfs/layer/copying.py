"""Copy-up: a lower layer's file or symlink becomes an object of a higher layer."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from snapfs.layer.form import OverlayForm
from snapfs.layer.lower import LowerObject, lower_attributes
from snapfs.layer.raw_attributes import set_raw_attributes, set_raw_link_attributes

_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES: Final = 1 << 20


def copy_object(
    found: LowerObject,
    name: bytes,
    directory: int,
    form: OverlayForm,
    keep_owners: bool,
) -> None:
    """Copy a lower file or symlink to the new ``name``, with all its attributes.

    Raises:
        OSError: From the kernel; EEXIST if there is an entry ``name``.
    """
    attributes = lower_attributes(found, form)
    if stat.S_ISLNK(found.status.st_mode):
        os.symlink(found.link_target(), name, dir_fd=directory)
        set_raw_link_attributes(name, directory, attributes, keep_owners)
        return
    source = found.open_content()
    try:
        copy = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            _copy_data(source, copy, os.fstat(source).st_size)
            set_raw_attributes(copy, attributes, keep_owners)
        finally:
            os.close(copy)
    finally:
        os.close(source)


def _copy_data(source: int, copy: int, size_bytes: int) -> None:
    """Copy what is data; holes stay holes."""
    os.ftruncate(copy, size_bytes)
    at = 0
    while at < size_bytes:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(source, min(_PIECE_BYTES, end - at), at)
            if not data:
                raise OSError(errno.EIO, "a lower file became shorter")
            at += os.pwrite(copy, data, at)
