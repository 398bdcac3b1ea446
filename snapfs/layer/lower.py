"""What the layers below show at a path: a look-up with the rules of overlayfs.

Layers in overlayfs form, read through open directories, one component at a time. A
name is hidden by a whiteout, by an opaque directory, and by anything in a higher layer
that is no directory. No symlink is followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs.errors import UnimplementedError
from snapfs.layer.descriptors import DIRECTORY_FLAGS
from snapfs.layer.form import OverlayForm
from snapfs.overlay_format import (
    METACOPY,
    REDIRECT,
    is_opaque,
    is_whiteout,
    is_xattr_whiteout,
)
from snapfs.tar.member import shown

# Set by the kernel for each new object, as its policy says.
_LABEL: Final = b"security.selinux"


@dataclass(frozen=True, slots=True)
class LowerAttributes:
    """The attributes of an object in a lower layer, the marks of overlayfs left out."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class LowerObject:
    """An object in a lower layer; valid until its look-up ends.

    Attributes:
        directory: The open directory that holds it.
        name: Its name there.
        status: Of the object itself, a symlink not followed.
    """

    directory: int
    name: bytes
    status: os.stat_result

    @property
    def path(self) -> bytes:
        """A path for calls that take no descriptor, by the open directory."""
        return b"/proc/self/fd/%d/%s" % (self.directory, self.name)


@contextlib.contextmanager
def lower_object(
    path: bytes, lowers: Sequence[int], form: OverlayForm
) -> Iterator[LowerObject | None]:
    """Look ``path`` up in the merged view of ``lowers``, highest first.

    Yields None where the view shows nothing. An empty path is the root.

    Raises:
        UnimplementedError: A redirect or a metacopy is on the way.
        OSError: A layer cannot be read.
    """
    level: Sequence[int] = lowers
    held: list[int] = []  # opened; the level that holds what was found
    below: list[int] = []  # opened; the level that was found
    found = LowerObject(lowers[0], b".", os.fstat(lowers[0])) if lowers else None
    try:
        for name in path.split(b"/") if path else ():
            found, deeper = _step(name, level, form)
            _close(held)
            level, held, below = deeper, below, deeper
            if found is None:
                break
        yield found
    finally:
        _close(held)
        _close(below)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _step(
    name: bytes, level: Sequence[int], form: OverlayForm
) -> tuple[LowerObject | None, list[int]]:
    """Return what a merged directory shows as ``name``; if merged too, its parts."""
    found: LowerObject | None = None
    below: list[int] = []
    try:
        for directory in level:
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            candidate = LowerObject(directory, name, status)
            if not stat.S_ISDIR(status.st_mode):
                if found is None and not _hides(candidate, form):
                    found = candidate
                    _refuse(candidate.path, METACOPY, name, form)
                break
            found = found or candidate
            below.append(os.open(name, DIRECTORY_FLAGS, dir_fd=directory))
            _refuse(below[-1], REDIRECT, name, form)
            if is_opaque(below[-1], form.prefix):
                break
    except BaseException:
        _close(below)
        raise
    return found, below


def _hides(candidate: LowerObject, form: OverlayForm) -> bool:
    return is_whiteout(candidate.status) or is_xattr_whiteout(
        candidate.path, candidate.status, form.prefix
    )


def _refuse(target: int | bytes, mark: str, name: bytes, form: OverlayForm) -> None:
    """Refuse what lies elsewhere; our layers never do."""
    if os.fsencode(form.prefix.attribute(mark)) in _xattr_names(target):
        raise UnimplementedError(
            f"{shown(name)} in a lower layer has the mark {mark!r} of overlayfs"
        )


def _xattr_names(target: int | bytes) -> list[bytes]:
    if isinstance(target, int):
        return [os.fsencode(name) for name in os.listxattr(target)]
    return [os.fsencode(n) for n in os.listxattr(target, follow_symlinks=False)]


def lower_attributes(found: LowerObject, form: OverlayForm) -> LowerAttributes:
    """Return the attributes of what was found; marks of overlayfs are left out.

    Raises:
        OSError: They cannot be read.
    """
    path, status = found.path, found.status
    return LowerAttributes(
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(_xattr_names(path))
            if name != _LABEL and not form.is_mark(name)
        },
    )
