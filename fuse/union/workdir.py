"""The work directory: where objects are made before they appear in the upperdir.

Its layout is overlayfs's: all lies directly in the workdir's ``work``, under names that
start with ``#``, so that a kernel mount that comes after us cleans it up (the kernel
looks two levels deep and mounts read-only where it finds more).

- ``#<hex of nodeid>``: a file without a name that the kernel still knows. It is
  *pinned*: gone at the FORGET, found again by a server that takes over.
- ``#t<hex>``: a temporary object. ``#w<hex>``: the whiteout that others are links of.
- ``incompat/volatile/dirty``: the mount does not sync. A kernel refuses such a
  workdir; we accept it from the same boot, when nothing can have been lost.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time

from snapfs import overlay_format
from snapfs.fuse.union import acl
from snapfs.fuse.union.remove_tree import list_names, remove_tree
from snapfs.light_typing import Final
from snapfs.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2

WORK: Final = b"work"
_INCOMPAT: Final = b"incompat"
_VOLATILE: Final = b"volatile"
_DIRTY: Final = b"dirty"
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

_PATH_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What a filesystem says that has no hard links of devices, or no more of this one.
_NO_LINK: Final = frozenset(
    (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOENT)
)
_TMPFILE: Final = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_TMPFILE: Final = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT))
_LOCK_ATTEMPTS: Final = 200
_LOCK_PAUSE_S: Final = 0.01
"""Together two seconds, for a server that has just lost its mount to end."""


class WorkDirectory:
    """The inner work directory of one writable mount, held alone.

    ``fd`` is an ``O_PATH`` descriptor of it; temporary objects are made through it.
    ``lock_fd`` holds the lock of the workdir around it.
    """

    __slots__ = (
        "_counter",
        "_has_tmpfile",
        "_shares_whiteouts",
        "_whiteout",
        "fd",
        "lock_fd",
    )

    def __init__(self, fd: int, lock_fd: int) -> None:
        self.fd = fd
        self.lock_fd = lock_fd
        self._counter = 0
        self._whiteout: bytes | None = None
        self._shares_whiteouts = True
        self._has_tmpfile = True

    def temporary(self) -> bytes:
        """Return a name that nothing in the directory has."""
        self._counter += 1
        return b"#t%x" % self._counter

    def open_temporary(self, flags: int) -> tuple[int, bytes | None]:
        """Open a new file to be written to: without a name, or with a temporary one.

        Raises:
            OSError: From open(2).
        """
        if self._has_tmpfile:
            try:
                return os.open(b".", _TMPFILE | flags, 0o600, dir_fd=self.fd), None
            except OSError as error:
                if error.errno not in _NO_TMPFILE:
                    raise
                self._has_tmpfile = False
        name = self.temporary()
        return os.open(name, _CREATE | flags, 0o600, dir_fd=self.fd), name

    def whiteout(self, dir_fd: int, name: bytes) -> None:
        """Create a whiteout: a link of the shared one where that works.

        Raises:
            OSError: From link(2) or mknod(2); EEXIST if there is an entry ``name``.
        """
        if self._shares_whiteouts:
            try:
                self._link_whiteout(dir_fd, name)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
            else:
                return
            self._replace_whiteout(error_is_final=self._whiteout is None)
        overlay_format.make_whiteout(name, dir_fd=dir_fd)

    def _link_whiteout(self, dir_fd: int, name: bytes) -> None:
        if self._whiteout is None:
            self._counter += 1
            shared = b"#w%x" % self._counter
            overlay_format.make_whiteout(shared, dir_fd=self.fd)
            self._whiteout = shared
        os.link(
            self._whiteout,
            name,
            src_dir_fd=self.fd,
            dst_dir_fd=dir_fd,
            follow_symlinks=False,
        )

    def _replace_whiteout(self, *, error_is_final: bool) -> None:
        """Drop the shared whiteout: it is full, or cannot be linked at all."""
        if error_is_final or self._whiteout is None:
            self._shares_whiteouts = False
            return
        with contextlib.suppress(FileNotFoundError):
            links = os.stat(self._whiteout, dir_fd=self.fd, follow_symlinks=False)
            # One that was never linked shows that linking does not work here.
            self._shares_whiteouts = links.st_nlink > 1
            os.unlink(self._whiteout, dir_fd=self.fd)
        self._whiteout = None

    def discard(self, name: bytes) -> None:
        """Remove an object of the directory with all it holds; it may be gone."""
        remove_tree(self.fd, name)

    def close(self) -> None:
        """Remove what is temporary and release the directory."""
        try:
            purge(self.fd)
        finally:
            os.close(self.fd)
            os.close(self.lock_fd)


def pinned_name(nodeid: int) -> bytes:
    """Return the name in the work directory of a node that has none elsewhere."""
    return b"#%x" % nodeid


def open_work_directory(
    workdir_fd: int, upper_fd: int, *, is_volatile: bool = False, resumes: bool = False
) -> WorkDirectory:
    """Take a workdir into exclusive use, clean it, and return its inner directory.

    ``resumes``: this server goes on where one that died left off; pinned files stay.
    Not for read-only mounts: they touch no workdir.

    Raises:
        OSError: EBUSY, another mount writes there; EINVAL, the workdir and the
            upperdir lie on different mounts, or it has a mark of a feature that we
            do not know; or from the filesystem.
    """
    _refuse_other_mount(workdir_fd, upper_fd)
    lock_fd = os.open(b".", _READ_DIRECTORY, dir_fd=workdir_fd)
    try:
        _lock(lock_fd)
        fd = _open_inner(lock_fd)
        try:
            if not resumes:
                _check_features(fd)
                purge(fd)
            else:
                purge(fd, keeps_pinned=True)
            if is_volatile:
                _mark_volatile(fd)
        except BaseException:
            os.close(fd)
            raise
    except BaseException:
        os.close(lock_fd)
        raise
    return WorkDirectory(fd, lock_fd)


def _refuse_other_mount(workdir_fd: int, upper_fd: int) -> None:
    # The kernel asks for one mount, not one filesystem: rename(2) crosses none.
    if _mount_id(workdir_fd) != _mount_id(upper_fd):
        raise OSError(errno.EINVAL, "workdir and upperdir lie on different mounts")


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    raise OSError(errno.ENOSYS, "/proc/self/fdinfo does not tell the mount")


def _lock(fd: int) -> None:
    """Lock the workdir; umount(2) returns before the server of the mount has ended."""
    for _ in range(_LOCK_ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_PAUSE_S)
    raise OSError(errno.EBUSY, "the workdir is in use by another writable mount")


def _open_inner(workdir_fd: int) -> int:
    # As the kernel: nobody has business in there. Without privilege we need ours.
    mode = 0 if os.geteuid() == 0 else 0o700
    with contextlib.suppress(FileExistsError):
        os.mkdir(WORK, mode, dir_fd=workdir_fd)
    fd = os.open(WORK, _PATH_DIRECTORY, dir_fd=workdir_fd)
    if stat.S_IMODE(os.fstat(fd).st_mode) != mode:
        os.chmod(WORK, mode, dir_fd=workdir_fd)
    _remove_acls(fd)
    return fd


def _remove_acls(fd: int) -> None:
    """Have nothing inherit an ACL of the workdir (``ovl_workdir_create``)."""
    for name in (acl.DEFAULT, acl.ACCESS):
        try:
            os.removexattr(b"/proc/self/fd/%d" % fd, name)
        except OSError as error:
            if error.errno not in acl.ABSENT:
                raise


def _check_features(fd: int) -> None:
    """Refuse a workdir whose upperdir asks for a feature that we do not have."""
    try:
        marks = list_names(fd, _INCOMPAT)
    except (FileNotFoundError, NotADirectoryError):
        return
    for mark in marks:
        if mark == _VOLATILE and _is_of_this_boot(fd):
            continue
        text = f"the workdir carries the incompatible feature {os.fsdecode(mark)!r}"
        raise OSError(errno.EINVAL, text)


def _is_of_this_boot(fd: int) -> bool:
    """Tell whether a volatile mount of this boot left its mark.

    The kernel's own mark is empty; whether its data reached the disk nobody knows.
    """
    path = b"/".join((_INCOMPAT, _VOLATILE, _DIRTY))
    try:
        mark = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    with open(mark, "rb") as file:
        return file.read() == _boot_id()


def _boot_id() -> bytes:
    with open(_BOOT_ID, "rb") as file:
        return file.read()


def _mark_volatile(fd: int) -> None:
    path = _INCOMPAT
    for name in (None, _VOLATILE):
        path = path if name is None else path + b"/" + name
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700, dir_fd=fd)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path + b"/" + _DIRTY, flags, 0o600, dir_fd=fd), "wb") as file:
        file.write(_boot_id())


def purge(fd: int, *, keeps_pinned: bool = False) -> None:
    """Remove what lies in an inner work directory, but for the feature marks."""
    for name in list_names(fd, b"."):
        if name == _INCOMPAT or (keeps_pinned and _is_pinned(name)):
            continue
        remove_tree(fd, name)


def _is_pinned(name: bytes) -> bool:
    try:
        return name[:1] == b"#" and pinned_name(int(name[1:], 16)) == name
    except ValueError:
        return False


def rename_new(old_fd: int, old: bytes, new_fd: int, new: bytes) -> None:
    """Rename to a name that is free; EEXIST if it is not.

    Where the filesystem has no such rename (EINVAL), the workdir being ours alone is
    what keeps the name free.
    """
    try:
        renameat2(old, new, RENAME_NOREPLACE, old_dir_fd=old_fd, new_dir_fd=new_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)


def exchange(old_fd: int, old: bytes, new_fd: int, new: bytes) -> None:
    """Swap two entries atomically; EINVAL where the filesystem cannot."""
    renameat2(old, new, RENAME_EXCHANGE, old_dir_fd=old_fd, new_dir_fd=new_fd)
