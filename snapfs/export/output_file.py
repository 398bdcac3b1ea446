"""A file that is there complete or not at all, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import Final

from snapfs.closing import Closing
from snapfs.errors import AlreadyExistsError
from snapfs.file_syscalls import link_descriptor
from snapfs.syscalls import RENAME_NOREPLACE, renameat2

_NEW: Final = os.O_RDWR | os.O_CLOEXEC
_MODE: Final = 0o666  # less the umask
# By open(2): the filesystem, or the kernel, has no files without a name.
_NO_NAMELESS: Final = frozenset((errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT))


class OutputFile(Closing):
    """A new file; it gets its name by :meth:`publish`, and is gone without.

    Where the filesystem can it has no name before that, so that not even SIGKILL
    leaves anything behind; elsewhere it is called ``.NAME.partial``.

    Attributes:
        fd: Open for reading and writing.

    Raises:
        AlreadyExistsError: There is something of that name.
        OSError: It cannot be made.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        directory, self._name = os.path.split(path)
        if os.path.lexists(path):
            raise self._taken()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._directory = os.open(directory or ".", flags)
        self._partial = ""
        try:
            self.fd = self._open()
        except BaseException:
            os.close(self._directory)
            raise

    def publish(self) -> None:
        """Give the file its name, once it is on disk.

        Raises:
            AlreadyExistsError: Somebody has made something of that name meanwhile.
            OSError: It cannot be synced or named.
        """
        os.fsync(self.fd)
        try:
            if self._partial:
                self._rename()
            else:
                link_descriptor(self.fd, self._directory, os.fsencode(self._name))
        except FileExistsError as error:
            raise self._taken() from error
        os.fsync(self._directory)

    def close(self) -> None:
        """Let go of the file; it may be called twice."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        if self._partial:
            with contextlib.suppress(FileNotFoundError):  # it was renamed
                os.unlink(self._partial, dir_fd=self._directory)
        os.close(self._directory)

    def _open(self) -> int:
        try:
            return os.open(".", _NEW | os.O_TMPFILE, _MODE, dir_fd=self._directory)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise OSError(error.errno, error.strerror, self._path) from error
        self._partial = f".{self._name}.partial"
        flags = _NEW | os.O_CREAT | os.O_EXCL
        return os.open(self._partial, flags, _MODE, dir_fd=self._directory)

    def _rename(self) -> None:
        """Give the file its name, in nobody's place."""
        at = self._directory
        try:
            renameat2(
                self._partial,
                self._name,
                RENAME_NOREPLACE,
                old_dir_fd=at,
                new_dir_fd=at,
            )
        except OSError as error:
            if error.errno != errno.EINVAL:  # NFS has no such flag, but links
                raise
            os.link(self._partial, self._name, src_dir_fd=at, dst_dir_fd=at)

    def _taken(self) -> AlreadyExistsError:
        return AlreadyExistsError(
            f"{self._path!r} exists; remove it first, or choose another name"
        )
