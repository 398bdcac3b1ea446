"""The layers of a mount as open directories: nothing here is found by path later.

The lowers are reached through private read-only clones of their mounts where the
kernel allows it, as overlayfs does: what is mounted inside a layer is not seen, no
file of a lower can be opened for writing, and reading leaves its atime alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from snapfs.fuse.union.indexed import indexed
from snapfs.light_typing import TYPE_CHECKING, Final, Protocol
from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import (
    MOUNT_ATTR_ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_RDONLY,
    clone_tree,
    mount_setattr,
    statfs_type,
)

if TYPE_CHECKING:
    from snapfs.fuse.union.indexed import KnownEntries

_OPEN_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# Where a file of holes alone shows fewer blocks than its size takes (linux/magic.h:
# ext2 to 4, xfs, btrfs, tmpfs, f2fs). EROFS counts blocks by size: not there.
_COUNTS_HOLES: Final = frozenset(
    {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010}
)
_FUSE: Final = 0x65735546
# A server answers for them, and may cease to: 9p, NFS, CIFS, SMB2, Ceph, AFS.
_REMOTE: Final = frozenset(
    {_FUSE, 0x01021997, 0x6969, 0xFF534D42, 0xFE534D42, 0x00C36400, 0x5346414F}
)
_IN_MEMORY: Final = frozenset({0x01021994, 0x858458F6})  # tmpfs, ramfs
_READ_ONLY: Final = (
    (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME, MOUNT_ATTR_ATIME),
    (MOUNT_ATTR_RDONLY, 0),
)


class EntrySource(Protocol):
    """Who knows the directories of a layer without reading them from the disk."""

    def known(self, path: bytes) -> KnownEntries | None:
        """Return what a directory holds; None if it must be read.

        ``path`` is that of the directory from the layer's root, without a leading
        slash.
        """


class Layer:
    """One directory tree of the stack.

    Attributes:
        index: Its place: 0 is the upper, then the lowers, highest first.
        root_fd: ``O_PATH`` descriptor of its root; open as long as the stack is.
        path: Where it was opened, absolute; only to be told.
        device: ``st_dev`` of the root.
        root_ino: ``st_ino`` of the root.
        kind: The type of its filesystem, as statfs(2) has it.
        filesystem: Number of its filesystem among those of the stack; 0 is kept for
            the upper's, also where there is no upper.
        is_upper: Whether it takes the changes.
        is_root_opaque: Whether its root hides the roots below. The kernel ignores
            the mark there, so whoever builds the stack says it.
        is_data_only: Whether it is reached by absolute redirects of data alone.
        has_xattrs: Whether the filesystem knows extended attributes.
        is_plain: Whether it is known that no file has extended attributes.
        shows_holes: Whether ``st_blocks`` tells a file of holes from a full one.
        is_in_memory: Whether reading a file never waits for a disk.
        is_remote: Whether a server answers for it, so that every call may hang.
        source: Who knows its directories without the disk; None if nobody does.
        handle_fd: For open_by_handle_at(2); -1 until it is needed.
    """

    __slots__ = (
        "device",
        "filesystem",
        "handle_fd",
        "has_xattrs",
        "index",
        "is_data_only",
        "is_in_memory",
        "is_plain",
        "is_remote",
        "is_root_opaque",
        "is_upper",
        "kind",
        "path",
        "root_fd",
        "root_ino",
        "shows_holes",
        "source",
    )

    def __init__(
        self,
        root_fd: int,
        path: bytes = b"",
        *,
        is_upper: bool = False,
        is_root_opaque: bool = False,
        is_data_only: bool = False,
    ) -> None:
        status = os.stat(root_fd)
        self.root_fd = root_fd
        self.path = path
        self.device = status.st_dev
        self.root_ino = status.st_ino
        self.is_upper = is_upper
        self.is_root_opaque = is_root_opaque
        self.is_data_only = is_data_only
        self.has_xattrs = _has_xattrs(root_fd)
        self.kind = kind = _filesystem_type(root_fd)
        self.shows_holes = kind in _COUNTS_HOLES
        self.is_in_memory = kind in _IN_MEMORY
        self.is_remote = kind in _REMOTE
        self.is_plain = False
        self.index = 0
        self.filesystem = 0
        self.handle_fd = -1
        self.source: EntrySource | None = None

    def close(self) -> None:
        """Close the layer's descriptors."""
        os.close(self.root_fd)
        if self.handle_fd >= 0:
            os.close(self.handle_fd)


def _filesystem_type(root_fd: int) -> int:
    try:
        return statfs_type(root_fd)
    except OSError as error:
        # What answers for it has no totals to tell, as some servers of FUSE.
        if error.errno != errno.ENOSYS:
            raise
        return _FUSE


def _has_xattrs(root_fd: int) -> bool:
    try:
        os.listxattr(b"/proc/self/fd/%d" % root_fd)
    except OSError:
        return False  # ENOTSUP, or a filesystem that will not say
    return True


def open_upper(path: bytes) -> Layer:
    """Open the upperdir.

    Raises:
        OSError: It is not there, or no directory.
    """
    fd = os.open(path, _OPEN_FLAGS)
    return Layer(fd, os.path.abspath(path), is_upper=True)


def open_lower(
    path: bytes, *, is_root_opaque: bool = False, is_data_only: bool = False
) -> Layer:
    """Open a lowerdir, by a private read-only clone of its mount where possible.

    Raises:
        OSError: It is not there, or no directory.
    """
    fd = os.open(path, _OPEN_FLAGS)
    try:
        fd = _private(fd)
        layer = Layer(
            fd,
            os.path.abspath(path),
            is_root_opaque=is_root_opaque,
            is_data_only=is_data_only,
        )
    except BaseException:
        os.close(fd)
        raise
    layer.source = indexed(layer.path, fd)
    return layer


def _private(fd: int) -> int:
    """Replace ``fd`` by a clone of its mount, or return it where that is refused."""
    try:
        clone = clone_tree(b"/proc/self/fd/%d" % fd, recursive=False)
    except OSError:
        return fd  # without CAP_SYS_ADMIN there are no clones
    for attributes, cleared in _READ_ONLY:
        try:
            mount_setattr(clone, set_=attributes, clear=cleared, recursive=False)
        except OSError:
            continue  # flags of another user namespace's mount are locked
        os.close(fd)
        return clone
    os.close(clone)
    return fd


class LayerStack:
    """The upper, its work directory and the lowers of one mount.

    Owns the descriptors. A lower whose root is opaque ends the stack: those below it
    are closed and forgotten. Data-only layers come last.

    Args:
        upper: The layer that takes changes; None for a read-only mount.
        work_fd: Open ``workdir/work``, on the mount of the upper; None without one.
        lowers: The other layers, highest first.
        prefix: Where the marks are.
    """

    __slots__ = ("filesystems", "layers", "lowers", "prefix", "upper", "work_fd")

    def __init__(
        self,
        upper: Layer | None,
        work_fd: int | None,
        lowers: Sequence[Layer],
        prefix: XattrPrefix = XattrPrefix.TRUSTED,
    ) -> None:
        self.upper = upper
        self.work_fd = work_fd
        self.prefix = prefix
        kept = _without_hidden(lowers)
        # By index; without an upper the first lower stands in at 0, unused as such.
        self.layers: list[Layer] = [upper if upper is not None else kept[0], *kept]
        self.lowers: tuple[int, ...] = tuple(
            index for index, layer in enumerate(kept, 1) if not layer.is_data_only
        )
        self.filesystems = self._number(upper, kept)

    def _number(self, upper: Layer | None, lowers: Sequence[Layer]) -> int:
        """Number layers and filesystems as overlayfs does; count the latter."""
        numbers: dict[int, int] = {}
        if upper is not None:
            numbers[upper.device] = 0
        for index, layer in enumerate(lowers, 1):
            layer.index = index
            unused = len(numbers) + (upper is None)
            layer.filesystem = numbers.setdefault(layer.device, unused)
        return len(numbers)

    @property
    def data_layers(self) -> tuple[int, ...]:
        """Indexes of the data-only layers."""
        return tuple(range(len(self.lowers) + 1, len(self.layers)))

    def close(self) -> None:
        """Close every layer and the work directory."""
        for layer in self.layers[1:]:
            layer.close()
        if self.upper is not None:
            self.upper.close()
        if self.work_fd is not None:
            os.close(self.work_fd)


def _without_hidden(lowers: Sequence[Layer]) -> list[Layer]:
    kept: list[Layer] = []
    is_hidden = False
    for layer in lowers:
        if is_hidden and not layer.is_data_only:
            layer.close()
            continue
        kept.append(layer)
        is_hidden = is_hidden or layer.is_root_opaque
    return kept
