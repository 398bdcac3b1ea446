"""What a change of a file's data leaves of its setuid and setgid bits.

The rules are those of ``setattr_should_drop_suidgid`` (``fs/attr.c``). The upper's
filesystem would apply them to us, who may keep the bits (``CAP_FSETID``).
"""

from __future__ import annotations

import os
import stat

from snapfs.light_typing import Final, Protocol

_SET_IDS: Final = stat.S_ISUID | stat.S_ISGID


class Changer(Protocol):
    """Who changes a file."""

    def groups(self) -> tuple[int, ...]:
        """Return its groups."""

    def has_fsetid(self) -> bool:
        """Tell whether it has CAP_FSETID in the initial user namespace."""


def drop_set_ids(fd: int, changer: Changer) -> None:
    """Take away the bits that a change by ``changer``, without CAP_FSETID, does.

    Before the change: nobody is to execute the new content with them.

    Raises:
        OSError: From fchmod(2).
    """
    status = os.fstat(fd)
    mode = status.st_mode
    if not mode & _SET_IDS:
        return
    kept = mode & ~stat.S_ISUID
    if mode & stat.S_ISGID and (
        mode & stat.S_IXGRP or status.st_gid not in changer.groups()
    ):
        kept &= ~stat.S_ISGID
    if kept != mode:
        os.fchmod(fd, stat.S_IMODE(kept))


def loses_setgid(status: os.stat_result, changer: Changer) -> bool:
    """Tell whether a change of the ACL by ``changer`` takes the setgid bit away."""
    return bool(
        status.st_mode & stat.S_ISGID
        and status.st_gid not in changer.groups()
        and not changer.has_fsetid()
    )


def drop_set_ids_if_lost(fd: int, changer: Changer) -> None:
    """Do so where the kernel does not say whether ``changer`` has CAP_FSETID.

    Raises:
        OSError: From fchmod(2).
    """
    if os.fstat(fd).st_mode & _SET_IDS and not changer.has_fsetid():
        drop_set_ids(fd, changer)
