"""Making files, directories, links to names, devices: in the upper, for the caller.

Over nothing an object is made in place, by one call and with the caller's identity,
so that the filesystem does the rest: setgid directories, default ACLs, quotas. Over a
whiteout it is made in the work directory and takes the whiteout's place at once
(``ovl_create_over_whiteout`` in ``fs/overlayfs/dir.c``).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from snapfs.fuse.union import acl
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.data import Data
from snapfs.fuse.union.lookup import is_hidden_in_upper
from snapfs.fuse.union.node import COMPLETE, PINNED, PLAIN, Directory, Node
from snapfs.fuse.union.workdir import pinned_name
from snapfs.fuse.union.writer import Writer
from snapfs.light_typing import Final
from snapfs.overlay_marks import path_of, stat_entry

_WHITEOUT_DEVICE: Final = os.makedev(0, 0)
_PERMISSIONS: Final = 0o7777
_NO_DESCRIPTORS: Final = frozenset((errno.EMFILE, errno.ENFILE))
_CREATE: Final = (
    os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC
)

Make = Callable[[int, bytes, int], None]
"""Makes an object: directory descriptor, name, mode."""


class Creator:
    """Makes new objects.

    Every method returns the new node, whose status is ``Union.found_status`` then. The
    caller may create in the directory: that was checked.
    """

    __slots__ = (
        "_data",
        "_identity",
        "_is_plain_ownership",
        "_is_remote",
        "_union",
        "_writer",
    )

    def __init__(self, writer: Writer, data: Data) -> None:
        self._writer = writer
        self._data = data
        # A server may give the file another owner, who alone may open with O_NOATIME.
        upper = writer.union.stack.upper
        self._is_remote = upper is not None and upper.is_remote
        self._union = writer.union
        self._identity = writer.identity
        self._is_plain_ownership = writer.union.options.ownership.is_identity

    def make_node(
        self, parent: Directory, name: bytes, mode: int, rdev: int, caller: Caller
    ) -> Node:
        """Create a regular file, device, fifo or socket, as mknod(2).

        Raises:
            OSError: EPERM, it would be a whiteout; EEXIST, ENOSPC, EROFS ...
        """
        if stat.S_ISREG(mode) and not self._is_remote:
            return self._make_file(parent, name, mode, caller)
        if stat.S_ISCHR(mode) and rdev == _WHITEOUT_DEVICE:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)

        def make(dir_fd: int, new: bytes, new_mode: int) -> None:
            os.mknod(new, new_mode, rdev, dir_fd=dir_fd)

        return self._create(parent, name, mode, caller, make)

    def _make_file(
        self, parent: Directory, name: bytes, mode: int, caller: Caller
    ) -> Node:
        """Create a regular file and keep it open: as a rule it is written to next."""
        made = _OpenedFile()
        try:
            node = self._create(parent, name, mode, caller, made.make, made)
        except BaseException:
            if made.fd >= 0:
                os.close(made.fd)
            raise
        if made.fd >= 0:
            self._data.keep_writer(node, made.fd)
        return node

    def make_directory(
        self, parent: Directory, name: bytes, mode: int, caller: Caller
    ) -> Directory:
        """Create a directory, as mkdir(2).

        Raises:
            OSError: EEXIST, ENOSPC, EROFS ...
        """
        mode = stat.S_IFDIR | mode & _PERMISSIONS
        if self._union.budget is not None:
            self._union.budget.take_directory()
        node = self._create(parent, name, mode, caller, _mkdir)
        assert isinstance(node, Directory)
        node.flags |= COMPLETE
        return node

    def make_symlink(
        self, parent: Directory, name: bytes, target: bytes, caller: Caller
    ) -> Node:
        """Create a symbolic link, as symlink(2).

        Raises:
            OSError: EEXIST, ENAMETOOLONG, ENOSPC, EROFS ...
        """

        def make(dir_fd: int, new: bytes, _mode: int) -> None:
            os.symlink(target, new, dir_fd=dir_fd)

        return self._create(parent, name, stat.S_IFLNK | 0o777, caller, make)

    def make_unnamed(self, parent: Directory, mode: int, caller: Caller) -> Node:
        """Create a regular file that has no name (``O_TMPFILE``).

        It is pinned in the work directory, and shows no link.

        Raises:
            OSError: ENOENT, the directory was removed; ENOSPC, EROFS ...
        """
        parent_fd = self._writer.upper_fd(parent)
        nodeid = self._union.nodes.new_id()
        name = pinned_name(nodeid)
        mode = stat.S_IFREG | mode & _PERMISSIONS
        is_plain = self._union.is_plain(parent)
        self._make_apart(parent_fd, name, mode, caller, _mknod, is_plain=is_plain)
        status = os.stat(name, dir_fd=self._writer.work.fd, follow_symlinks=False)
        ino = self._union.numbers.shown(0, status.st_ino)
        node = Node(nodeid, stat.S_IFREG, parent, b"", 0, ino)
        node.flags |= PINNED
        self._union.nodes.add_unnamed(node)
        self._union.found_status = status
        return node

    def _create(
        self,
        parent: Directory,
        name: bytes,
        mode: int,
        caller: Caller,
        make: Make,
        made: _OpenedFile | None = None,
    ) -> Node:
        parent_fd = self._writer.upper_fd(parent)
        union = self._union
        is_plain = bool(parent.flags & PLAIN) or union.is_plain(parent)
        self._identity.set_umask(caller.umask)
        is_complete = parent.flags & COMPLETE
        parent.flags &= ~COMPLETE  # until the new object has its node
        if not self._make_in_place(parent, parent_fd, name, mode, caller, make):
            self._create_over_whiteout(
                parent_fd, name, mode, caller, make, made, is_plain=is_plain
            )
        if made is not None and made.fd >= 0:
            status = os.fstat(made.fd)
        else:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        node = union.adopt(parent, name, status)
        if is_plain:
            # What a new object has of them it has from its directory (an ACL), or as
            # each has it, the directory too (a label).
            node.flags |= PLAIN
        parent.flags |= is_complete
        union.entry_added(parent, name, node)
        return node

    def _owner(self, caller: Caller) -> tuple[int, int]:
        if self._is_plain_ownership:
            return caller.uid, caller.gid
        return self._union.options.ownership.stored(caller.uid, caller.gid)

    def _make_in_place(
        self,
        parent: Directory,
        parent_fd: int,
        name: bytes,
        mode: int,
        caller: Caller,
        make: Make,
    ) -> bool:
        """Make an object where it is to be; False, a whiteout is there."""
        whiteouts = self._union.whiteouts
        if whiteouts and (parent.nodeid, name) in whiteouts:
            whiteouts.discard((parent.nodeid, name))
            if self._is_whiteout(parent_fd, name):
                return False
        identity = self._identity
        uid, gid = self._owner(caller)
        try:
            if uid == identity.uid and gid == identity.gid:
                make(parent_fd, name, mode)
            else:
                identity.create(uid, gid, lambda: make(parent_fd, name, mode))
        except FileExistsError:
            if not self._is_whiteout(parent_fd, name):
                raise
            return False
        return True

    def _is_whiteout(self, parent_fd: int, name: bytes) -> bool:
        status = stat_entry(parent_fd, name)
        return status is not None and is_hidden_in_upper(
            parent_fd, name, status, self._union
        )

    def _create_over_whiteout(
        self,
        parent_fd: int,
        name: bytes,
        mode: int,
        caller: Caller,
        make: Make,
        made: _OpenedFile | None,
        *,
        is_plain: bool,
    ) -> None:
        writer = self._writer
        work = writer.work
        temporary = work.temporary()
        try:
            self._make_apart(
                parent_fd, temporary, mode, caller, make, made, is_plain=is_plain
            )
            if not stat.S_ISDIR(mode):
                os.rename(temporary, name, src_dir_fd=work.fd, dst_dir_fd=parent_fd)
                return
            writer.set_opaque(work.fd, temporary, errno.EIO)
            writer.swap(temporary, parent_fd, name)
            os.unlink(temporary, dir_fd=work.fd)
        except BaseException:
            work.discard(temporary)
            raise

    def _make_apart(
        self,
        parent_fd: int,
        name: bytes,
        mode: int,
        caller: Caller,
        make: Make,
        made: _OpenedFile | None = None,
        *,
        is_plain: bool,
    ) -> None:
        """Make an object in the work directory as it would be in ``parent_fd``.

        ``is_plain``: that has no default ACL.
        """
        default = None
        if not is_plain or self._is_remote:  # a server may list less than there is
            default = acl.read_default(path_of(parent_fd, b"."))
        inherited = acl.inherit(default, mode, caller.umask)
        mode = inherited.mode
        uid, gid = self._owner(caller)
        directory = os.fstat(parent_fd)
        if directory.st_mode & stat.S_ISGID:
            gid = directory.st_gid
            if stat.S_ISDIR(mode):
                mode |= stat.S_ISGID
        work_fd = self._writer.work.fd
        self._identity.create(uid, gid, lambda: make(work_fd, name, mode))
        # The umask, and setgid of another group, may have been taken off.
        if made is not None and made.fd >= 0:
            if default is not None or mode & stat.S_ISGID:
                os.fchmod(made.fd, mode & _PERMISSIONS)
        elif not stat.S_ISLNK(mode):
            os.chmod(name, mode & _PERMISSIONS, dir_fd=work_fd)
        path = path_of(work_fd, name)
        if inherited.access is not None:
            os.setxattr(path, acl.ACCESS, inherited.access, follow_symlinks=False)
        if inherited.default is not None:
            os.setxattr(path, acl.DEFAULT, inherited.default, follow_symlinks=False)


class _OpenedFile:
    """A new regular file, open to be written to.

    Attributes:
        fd: Its descriptor; -1 before it is there, or where none was left for it.
    """

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = -1

    def make(self, dir_fd: int, name: bytes, mode: int) -> None:
        """Make and open it: a :data:`Make`."""
        try:
            self.fd = os.open(name, _CREATE, mode & _PERMISSIONS, dir_fd=dir_fd)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTORS:
                raise
            _mknod(dir_fd, name, mode)  # nothing was made yet (path_openat)


def _mkdir(dir_fd: int, name: bytes, mode: int) -> None:
    os.mkdir(name, mode & _PERMISSIONS, dir_fd=dir_fd)


def _mknod(dir_fd: int, name: bytes, mode: int) -> None:
    os.mknod(name, mode, dir_fd=dir_fd)
