"""What the layers below show at a path: a look-up with the rules of overlayfs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from snapfs.layer.form import OverlayForm
from snapfs.layer.layer_directories import LayerDirectories
from snapfs.layer.layer_view import LayerView, Shown
from snapfs.overlay_marks import path_of

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
    """An object that lower layers show; valid until its look-up ends."""

    view: LayerView
    shown: Shown

    @property
    def status(self) -> os.stat_result:
        """Of the object itself, a symlink not followed."""
        return self.shown.status

    def open_content(self) -> int:
        """Open a regular file for reading; of a metacopy, the file with the data.

        Raises:
            OSError: It cannot be opened.
        """
        return self.view.open_content(self.shown)

    def link_target(self) -> bytes:
        """Return what a symlink reads.

        Raises:
            OSError: It cannot be read.
        """
        return self.view.link_target(self.shown)


@contextlib.contextmanager
def lower_object(
    path: bytes, lowers: Sequence[int], form: OverlayForm
) -> Iterator[LowerObject | None]:
    """Look ``path`` up in the merged view of open ``lowers``, highest first.

    Yields None where the view shows nothing. An empty path is the root. No symlink is
    followed.

    Raises:
        OSError: A layer, or a mark of overlayfs in it, cannot be read.
    """
    directories = LayerDirectories()
    try:
        chain = [directories.add(b"/proc/self/fd/%d" % lower) for lower in lowers]
        view = LayerView(directories, chain, form.prefix)
        found = view.root()
        for name in path.split(b"/") if path else ():
            found = found and view.child(found, name)
        yield LowerObject(view, found) if found is not None else None
    finally:
        directories.close()


def lower_attributes(found: LowerObject, form: OverlayForm) -> LowerAttributes:
    """Return the attributes of what was found; marks of overlayfs are left out.

    Names that a nested overlayfs left stay escaped: they go to a layer again.

    Raises:
        OSError: They cannot be read.
    """
    path, status = path_of(*found.view.entry(found.shown.place)), found.status
    names = [os.fsencode(n) for n in os.listxattr(path, follow_symlinks=False)]
    return LowerAttributes(
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in sorted(names)
            if name != _LABEL and not form.is_mark(name)
        },
    )
