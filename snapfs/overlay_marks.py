"""overlayfs's marks on one object of a layer, read with as few calls as possible.

Most objects have none: one listxattr(2) says so. Values are read one by one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection

from snapfs import overlay_format
from snapfs.light_typing import Final
from snapfs.overlay_format import XattrPrefix

IMPURE: Final = "impure"

_NO_NAMES: Final[Collection[str]] = ()
_NO_NAME: Final = frozenset((b".", b".."))  # EACCES of lookup_one_len()
_METACOPY_HEADER: Final = 4


def stat_entry(directory_fd: int, name: bytes) -> os.stat_result | None:
    """Return the status of an entry of an open directory, None if there is none.

    A layer whose names are shorter than the mount's has no such entry either.

    Raises:
        OSError: From fstatat(2).
    """
    try:
        return os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise


class Marks:
    """The marks of one object; ``path`` reaches it through ``/proc/self/fd``.

    Raises:
        OSError: From listxattr(2) or getxattr(2), in each method.
    """

    __slots__ = ("_names", "_path", "_prefix")

    def __init__(self, path: bytes, prefix: XattrPrefix) -> None:
        self._path = path
        self._prefix = prefix
        try:
            self._names: Collection[str] = os.listxattr(path, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EACCES):
                raise
            self._names = _NO_NAMES  # no attributes here, or none for us to see

    @property
    def is_empty(self) -> bool:
        """Whether the object has no extended attribute at all."""
        return not self._names

    def value(self, mark: str) -> bytes | None:
        """Return the value of a mark, None if it is not set."""
        if not self._names:
            return None
        attribute = self._prefix.attribute(mark)
        if attribute not in self._names:
            return None
        try:
            return os.getxattr(self._path, attribute, follow_symlinks=False)
        except OSError as error:
            if error.errno == errno.ENODATA:  # removed in between
                return None
            raise

    @property
    def is_opaque(self) -> bool:
        """Whether lower directories of the name are hidden."""
        return self.value(overlay_format.OPAQUE) == b"y"

    @property
    def has_xattr_whiteouts(self) -> bool:
        """Whether a lower directory may hold whiteouts of the second form."""
        return self.value(overlay_format.OPAQUE) == b"x"

    @property
    def is_impure(self) -> bool:
        """Whether the entries of an upper directory may have an origin."""
        return self.value(IMPURE) == b"y"

    def redirect(self) -> bytes | None:
        """Return where the lowers have the object, None where its name says it.

        Raises:
            OSError: EINVAL: neither an absolute path nor a single name. EACCES: with
                "." or ".." in it, which could lead out of the layer.
        """
        value = self.value(overlay_format.REDIRECT)
        if value is None:
            return None
        # Kernel: ovl_get_redirect_xattr(): "/a/b" without empty parts, or one name.
        names = value.removeprefix(b"/").split(b"/")
        is_name = len(names) == 1 or value.startswith(b"/")
        if not is_name or not all(names) or b"\0" in value:
            raise OSError(errno.EINVAL, f"invalid redirect {value!r}", self._path)
        if not _NO_NAME.isdisjoint(names):
            raise OSError(errno.EACCES, f"invalid redirect {value!r}", self._path)
        return value

    def is_metacopy(self) -> bool:
        """Tell whether a file holds attributes only.

        Raises:
            OSError: EIO: in a version that is not known (``ovl_metacopy``).
        """
        value = self.value(overlay_format.METACOPY)
        if not value:
            return value is not None
        if len(value) < _METACOPY_HEADER or value[0] or value[1] != len(value):
            raise OSError(errno.EIO, f"unknown metacopy {value!r}", self._path)
        return True


def path_of(directory_fd: int, name: bytes) -> bytes:
    """Return a path to an entry of an open directory, for calls without ``dir_fd``."""
    return b"/proc/self/fd/%d/%s" % (directory_fd, name)
