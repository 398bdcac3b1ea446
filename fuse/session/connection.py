"""An open /dev/fuse descriptor and the mount that it serves."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from snapfs.fuse.session import fusermount
from snapfs.light_typing import Final, Self
from snapfs.syscalls import MNT_DETACH, UMOUNT_NOFOLLOW, umount2

_READ_AHEAD: Final = "/sys/class/bdi/{}/read_ahead_kb"


class Connection:
    """A descriptor, where its filesystem is mounted, and how to unmount it.

    No method asks the filesystem anything, so that the process that serves it can
    call each of them.

    Attributes:
        fd: The descriptor of /dev/fuse; owned.
        target: Absolute path of the mount point.
        device: "major:minor" of the filesystem; "" where /proc does not show it, and
            then an unmount cannot tell it from another's.
        by_helper: Whether ``fusermount3`` has mounted it and has to unmount it.
    """

    __slots__ = ("by_helper", "device", "fd", "target")

    def __init__(
        self, fd: int, target: bytes, *, device: str = "", by_helper: bool = False
    ) -> None:
        self.fd = fd
        self.target = target
        self.device = device
        self.by_helper = by_helper

    def __enter__(self) -> Self:
        """Return the connection; leaving unmounts it and closes the descriptor."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Unmount and close."""
        self.unmount()
        self.close()

    def close(self) -> None:
        """Close the descriptor; with the last one users get ENOTCONN."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def is_mounted(self) -> bool:
        """Say whether the filesystem is still what is seen at its mount point."""
        return bool(self.device) and device_at(self.target) == self.device

    def unmount(self) -> None:
        """Detach the filesystem from its mount point, busy or not.

        Nothing happens if it is not there (any more). A mount by ``fusermount3``
        loses its descriptor first: the helper may look at the mount point, which
        nobody would answer.

        Raises:
            OSError: From umount2(2) or the helper.
        """
        if self.device and not self.is_mounted():
            return
        if self.by_helper:
            self.close()
            fusermount.unmount(self.target)
            return
        try:
            umount2(self.target, MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError as error:
            # Someone was faster, between the look and the call.
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise

    def raise_read_ahead(self, kilobytes: int) -> bool:
        """Let the kernel read that far ahead; False where we may not.

        The kernel starts with 128 KiB (``VM_READAHEAD_PAGES``), which would limit
        each READ as well; only root of the host can change it.
        """
        if not self.device:
            return False
        try:
            with open(_READ_AHEAD.format(self.device), "w") as file:
                file.write(str(kilobytes))
        except OSError:
            return False  # slower, not wrong; sysfs may be read-only or hidden
        return True


def device_at(target: bytes) -> str:
    """Return "major:minor" of the filesystem on top at ``target``; "" if none is.

    From ``/proc/self/mountinfo`` alone: a stat(2) would ask the filesystem.
    """
    wanted = escaped(target)
    device = b""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split(b" ", 5)
            if fields[4] == wanted:
                device = fields[2]  # later lines are mounted on top
    return device.decode()


def escaped(path: bytes) -> bytes:
    """Return ``path`` as ``/proc/self/mountinfo`` writes it (``show_mountinfo``)."""
    for byte in b"\\ \t\n":
        path = path.replace(b"%c" % byte, b"\\%03o" % byte)
    return path
