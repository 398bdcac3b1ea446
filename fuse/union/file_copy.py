"""One copy on its way to the upper: of a regular file, or of what has no data.

That of a file is made under the session's lock; ``copy`` runs without it, on
descriptors of its own; ``publish`` runs under it. ``abandon`` ends each, also after
``publish``. What has no data is copied at once, under the lock.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from snapfs.fuse.union.copy_metadata import copy_to_entry, xattr_names
from snapfs.fuse.union.node import DETACHED, METACOPY, Directory, Node
from snapfs.light_typing import TYPE_CHECKING, Final, TypeAlias
from snapfs.overlay_marks import path_of

if TYPE_CHECKING:
    from snapfs.fuse.union.copy_up import CopyUp
    from snapfs.fuse.union.union import Union

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY: Final = "security.capability"


class FileCopy:
    """A lower file that is copied with all it has."""

    __slots__ = (
        "_copy_up",
        "_data_fd",
        "_is_published",
        "_layer",
        "_name",
        "_names",
        "_node",
        "_source_fd",
        "_status",
        "_target_fd",
        "_truncate_to",
    )

    def __init__(
        self, copy_up: CopyUp, union: Union, node: Node, truncate_to: int | None
    ) -> None:
        self._copy_up = copy_up
        self._node = node
        self._layer = node.layer
        self._truncate_to = truncate_to
        self._name: bytes | None = None
        self._is_published = False
        self._target_fd = self._data_fd = -1
        fd, name = union.place(node)
        self._source_fd = os.open(name, _READ, dir_fd=fd)
        try:
            self._status = os.fstat(self._source_fd)
            self._names = xattr_names(self._source_fd)
            if node.flags & METACOPY or copy_up.metacopy_mark in self._names:
                self._open_data(union)
            self._target_fd, self._name = copy_up.open_temporary()
        except BaseException:
            self.abandon()
            raise

    def _open_data(self, union: Union) -> None:
        """Open what has the data of a file that has attributes alone, as it seems."""
        fd = union.open_data(self._node, _READ)
        if self._node.flags & METACOPY:
            self._data_fd = fd
        else:
            os.close(fd)

    def copy(self, is_interrupted: Callable[[], bool]) -> None:
        """Make the copy, complete and on the disk, but without its name.

        Raises:
            OSError: EINTR, ``is_interrupted`` said so; or from the filesystems.
        """
        status = self._status
        size = status.st_size
        if self._truncate_to is not None:
            size = min(size, self._truncate_to)
        if self._data_fd < 0:
            data_fd, data_status = self._source_fd, status
        else:
            data_fd, data_status = self._data_fd, os.fstat(self._data_fd)
        copy_up = self._copy_up
        target = self._target_fd
        copy_up.fill(data_fd, data_status, target, size, is_interrupted)
        origin = None
        if status.st_nlink == 1:
            # Of several names each gets a file of its own: then none is the origin.
            origin = copy_up.marks.origin_of(self._layer, self._source_fd, b"")
        copy_up.dress_file(self._source_fd, status, self._names, target, origin)
        if size:
            copy_up.settler.settle(target)

    def publish(self) -> None:
        """Have the copy take the place of the lower file, wherever that is by now.

        If somebody else has copied it up in the meantime, nothing happens.

        Raises:
            OSError: From link(2) or rename(2).
        """
        if self._node.layer == 0:
            return
        source = self._target_fd if self._name is None else self._name
        has_parted = self._status.st_nlink > 1
        self._copy_up.publish(self._node, source, has_parted=has_parted)
        self._name = None
        self._is_published = True

    def take(self) -> int:
        """Return a descriptor to change what was published, the caller's; -1: none."""
        fd = self._target_fd
        if not self._is_published or not self._copy_up.opens_to_change:
            return -1
        self._target_fd = -1
        return fd

    def abandon(self) -> None:
        """Close what is open and remove a copy that was not published."""
        for fd in (self._source_fd, self._data_fd, self._target_fd):
            if fd >= 0:
                os.close(fd)
        self._source_fd = self._data_fd = self._target_fd = -1
        if self._name is not None:
            self._copy_up.discard(self._name)
            self._name = None


class MetacopyCompletion:
    """An upper file of attributes alone that is given its data.

    In the file itself, as the kernel does, since it may have several names. The mark
    goes last: until then the data comes from below.
    """

    __slots__ = ("_copy_up", "_data_fd", "_node", "_target_fd")

    def __init__(self, copy_up: CopyUp, union: Union, node: Node) -> None:
        self._copy_up = copy_up
        self._node = node
        self._data_fd = self._target_fd = -1
        try:
            self._data_fd = union.open_data(node, os.O_RDONLY)
            fd, name = union.place(node)
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            self._target_fd = os.open(name, flags, dir_fd=fd)
        except BaseException:
            self.abandon()
            raise

    def copy(self, is_interrupted: Callable[[], bool]) -> None:
        """Copy the data and have it on the disk; times and capability stay.

        Raises:
            OSError: EINTR, ``is_interrupted`` said so; or from the filesystems.
        """
        target = self._target_fd
        status = os.fstat(target)
        capability = _capability(target)
        data = os.fstat(self._data_fd)
        size = min(status.st_size, data.st_size)
        self._copy_up.fill(self._data_fd, data, target, size, is_interrupted)
        os.ftruncate(target, status.st_size)
        if capability is not None:
            os.setxattr(target, _CAPABILITY, capability)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        self._copy_up.settler.settle(target)

    def publish(self) -> None:
        """Take the mark away; nothing happens if somebody else has done it.

        Raises:
            OSError: From removexattr(2).
        """
        if self._node.flags & METACOPY:
            self._copy_up.completed(self._node, self._target_fd)

    def take(self) -> int:
        """Return -1: what is open sets access times when it is read."""
        return -1

    def abandon(self) -> None:
        """Close what is open."""
        for fd in (self._data_fd, self._target_fd):
            if fd >= 0:
                os.close(fd)
        self._data_fd = self._target_fd = -1


Copy: TypeAlias = FileCopy | MetacopyCompletion
"""A copy on its way: ``copy(is_interrupted)``, then ``publish()`` and ``take()``."""


def copy_directory(copy_up: CopyUp, union: Union, directory: Directory) -> None:
    """Copy one directory, whose parent the upper has.

    Raises:
        OSError: From the filesystems; then the upper is as it was.
    """
    source_fd = union.directory_fd(directory, directory.layer)
    status = os.stat(source_fd)
    source = path_of(source_fd, b".")
    origin = copy_up.marks.origin_of(directory.layer, source_fd, b"")
    work = copy_up.work
    temporary = work.temporary()
    if union.budget is not None:
        union.budget.take_directory()
    os.mkdir(temporary, 0o700, dir_fd=work.fd)
    try:
        _dress(copy_up, source, status, temporary, origin)
        copy_up.publish(directory, temporary)
    except BaseException:
        work.discard(temporary)
        raise


def copy_special(copy_up: CopyUp, union: Union, node: Node) -> None:
    """Copy a symbolic link, device, fifo or socket, its parents first.

    Raises:
        OSError: As :func:`copy_directory`.
    """
    if not node.flags & DETACHED:
        assert node.parent is not None
        copy_up.copy_up_directory(node.parent)
    fd, name = union.place(node)
    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    has_parted = status.st_nlink > 1
    origin = None if has_parted else copy_up.marks.origin_of(node.layer, fd, name)
    work = copy_up.work
    temporary = work.temporary()
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=fd), temporary, dir_fd=work.fd)
    else:
        kind = stat.S_IFMT(status.st_mode)
        os.mknod(temporary, kind | 0o600, status.st_rdev, dir_fd=work.fd)
    try:
        _dress(copy_up, path_of(fd, name), status, temporary, origin)
        copy_up.publish(node, temporary, has_parted=has_parted)
    except BaseException:
        work.discard(temporary)
        raise


def _dress(
    copy_up: CopyUp,
    source: bytes,
    status: os.stat_result,
    name: bytes,
    origin: bytes | None,
) -> None:
    fd = copy_up.work.fd
    copy_to_entry(source, status, fd, name, copy_up.prefix)
    if origin is not None:
        copy_up.marks.set_origin(path_of(fd, name), origin)


def _capability(fd: int) -> bytes | None:
    try:
        return os.getxattr(fd, _CAPABILITY)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise
