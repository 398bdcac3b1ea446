"""Who makes a request."""

from __future__ import annotations

from snapfs.light_typing import Final
from snapfs.overlay_format import in_initial_user_namespace

_CAP_FOWNER: Final = 1 << 3
_CAP_FSETID: Final = 1 << 4
_CAP_SYS_ADMIN: Final = 1 << 21


class Caller:
    """The process that makes a request, as the kernel names it in each.

    Attributes:
        uid: Its filesystem user.
        gid: Its filesystem group.
        pid: Its thread; 0 where it has no number in our namespace.
        umask: What a mode loses where no default ACL applies.
    """

    __slots__ = ("gid", "pid", "uid", "umask")

    def __init__(self, uid: int, gid: int, pid: int = 0, umask: int = 0) -> None:
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.umask = umask

    def groups(self) -> tuple[int, ...]:
        """Return its groups, the first alone if it is gone."""
        try:
            with open(f"/proc/{self.pid}/status", "rb") as file:
                for line in file:
                    if line.startswith(b"Groups:"):
                        return (self.gid, *map(int, line[7:].split()))
        except OSError:
            pass  # it has ended, or is hidden from us: then it has no more rights
        return (self.gid,)

    def has_admin(self) -> bool:
        """Tell whether it has CAP_SYS_ADMIN in the initial user namespace."""
        return self._has(_CAP_SYS_ADMIN)

    def has_fowner(self) -> bool:
        """Tell whether it has CAP_FOWNER in the initial user namespace."""
        return self._has(_CAP_FOWNER)

    def has_fsetid(self) -> bool:
        """Tell whether it has CAP_FSETID in the initial user namespace."""
        return self._has(_CAP_FSETID)

    def _has(self, capability: int) -> bool:
        proc = f"/proc/{self.pid}"
        try:
            with open(f"{proc}/status", "rb") as file:
                for line in file:
                    if line.startswith(b"CapEff:"):
                        if not int(line[7:], 16) & capability:
                            return False
                        break
            return in_initial_user_namespace(proc)
        except OSError:
            return False
