"""The overlayfs form of a layer on disk: how its marks and whiteouts are written.

See ``Documentation/filesystems/overlayfs.rst`` ("whiteouts and opaque directories",
"Nesting overlayfs mounts") and :mod:`snapfs.overlay_format`.
"""

from __future__ import annotations

import enum
import errno
import os
from dataclasses import dataclass
from typing import Final

from snapfs import overlay_format
from snapfs.overlay_format import XattrPrefix

_CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDS_XATTR_WHITEOUTS: Final = b"x"


class WhiteoutForm(enum.StrEnum):
    """How a whiteout is written."""

    DEVICE = "device"
    """A character device 0:0; every overlayfs knows it."""
    XATTR = "xattr"
    """An empty file with a mark; for lower layers only, since Linux 6.7."""


@dataclass(frozen=True, slots=True)
class OverlayForm:
    """The form of one store's layers.

    Attributes:
        prefix: Where the marks are kept; a store has one prefix for ever.
        whiteouts: How whiteouts are written. Devices fit both prefixes: mknod(2)
            makes 0:0 without privileges since Linux 5.8, before overlayfs knew
            ``userxattr`` (5.11); older kernels show a mark's file as an empty file.
    """

    prefix: XattrPrefix
    whiteouts: WhiteoutForm = WhiteoutForm.DEVICE

    def is_mark(self, name: bytes) -> bool:
        """Tell whether overlayfs obeys the xattr ``name``; an escaped one is data."""
        private = os.fsencode(self.prefix.attribute(""))
        return name.startswith(private) and not name.startswith(private + b"overlay.")


def working_form(prefix: XattrPrefix, directory: int) -> OverlayForm:
    """Return the form in which whiteouts can be written to an open directory.

    Marks where the kernel or the filesystem refuses to make a device, devices else.

    Raises:
        OSError: The directory cannot be written to.
    """
    name = b".whiteout"
    try:
        overlay_format.make_whiteout(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENOTSUP):
            raise
        return OverlayForm(prefix, WhiteoutForm.XATTR)
    os.unlink(name, dir_fd=directory)
    return OverlayForm(prefix)


def make_whiteout(name: bytes, directory: int, form: OverlayForm) -> None:
    """Create the whiteout ``name`` in an open directory.

    Raises:
        OSError: EEXIST if there is an entry ``name``.
    """
    if form.whiteouts is WhiteoutForm.DEVICE:
        overlay_format.make_whiteout(name, dir_fd=directory)
        return
    fd = os.open(name, _CREATE, 0o600, dir_fd=directory)
    try:
        os.setxattr(fd, form.prefix.attribute(overlay_format.WHITEOUT), b"")
    finally:
        os.close(fd)


def mark_whiteouts(directory: int, form: OverlayForm) -> None:
    """Say of an open directory that whiteouts lie in it.

    Without the empty ``origin`` the kernel lists them where nothing lies below
    (``ovl_dir_is_real``); those in xattr form also need an ``opaque`` of "x".

    Raises:
        OSError: From setxattr(2).
    """
    os.setxattr(directory, form.prefix.attribute(overlay_format.ORIGIN), b"")
    if form.whiteouts is WhiteoutForm.XATTR:
        mark = form.prefix.attribute(overlay_format.OPAQUE)
        os.setxattr(directory, mark, _HOLDS_XATTR_WHITEOUTS)
