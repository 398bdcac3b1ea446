"""Creating files for a caller, as overlayfs does: with its identity, our privilege.

A file then has its owner from the first moment on, and what the upper's filesystem
does with it (setgid directories, default ACLs, quotas) is what it does for the caller.
What the caller may do was checked by the kernel, so the change of identity must not
take our capabilities away.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from snapfs import file_syscalls


class Identity:
    """Who the threads of this process create files for: itself, unless told.

    Attributes:
        uid: Our own filesystem identity.
        gid: Our own filesystem group.
    """

    __slots__ = ("_capabilities", "_first_umask", "_umask", "gid", "uid")

    def __init__(self) -> None:
        self.uid = os.geteuid()
        self.gid = os.getegid()
        self._capabilities = file_syscalls.capabilities()
        self._umask = -1
        self._first_umask = -1

    def set_umask(self, umask: int) -> None:
        """Have the filesystem apply ``umask``, or the directory's default ACL.

        The umask is the whole process's. Nothing else here depends on it: whoever
        else creates something sets its mode afterwards.
        """
        if umask != self._umask:
            before = os.umask(umask)
            if self._umask < 0:
                self._first_umask = before
            self._umask = umask

    def close(self) -> None:
        """Give the process the umask back that it had."""
        if self._first_umask >= 0:
            os.umask(self._first_umask)
        self._umask = self._first_umask = -1

    def create(self, uid: int, gid: int, make: Callable[[], None]) -> None:
        """Call ``make`` so that what it creates belongs to ``uid`` and ``gid``.

        Raises:
            OSError: From ``make``; EPERM, this process cannot give files away.
        """
        if uid == self.uid and gid == self.gid:
            make()
            return
        self._assume(uid, gid)
        try:
            make()
        finally:
            self._resume()

    def _assume(self, uid: int, gid: int) -> None:
        # The group first: without CAP_SETGID it could not be changed any more.
        file_syscalls.set_fsgid(gid)
        file_syscalls.set_fsuid(uid)
        # A refusal is silent; (uid_t) -1 changes nothing and tells who we are.
        if (
            file_syscalls.set_fsuid(0xFFFFFFFF) != uid
            or file_syscalls.set_fsgid(0xFFFFFFFF) != gid
        ):
            self._resume()
            raise OSError(errno.EPERM, f"no file can be made for {uid}:{gid} from here")
        # The kernel has dropped the capabilities on files along with uid 0.
        file_syscalls.set_capabilities(self._capabilities)

    def _resume(self) -> None:
        file_syscalls.set_fsuid(self.uid)
        file_syscalls.set_fsgid(self.gid)
        file_syscalls.set_capabilities(self._capabilities)
