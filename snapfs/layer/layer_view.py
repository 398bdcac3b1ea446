"""What a chain of layers shows: overlayfs's look-up, on open directories.

Layers in overlayfs form, active ones as well: whiteouts, opaque directories, redirects
and metacopies count as they do in a mount (``ovl_lookup``, ``fs/overlayfs/namei.c``).
Nothing is mounted, and no symlink is followed. Whiteouts in xattr form count in every
layer; in an upperdir the kernel lists them, but nothing makes them there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from typing import Final

from snapfs.layer.layer_directories import LayerDirectories
from snapfs.layer.layer_search import Part, Search, below
from snapfs.layer.notes import Notes
from snapfs.layer.shown_xattrs import shown_xattrs
from snapfs.layer.stored_owners import StoredOwners
from snapfs.overlay_format import XattrPrefix, is_whiteout, is_xattr_whiteout
from snapfs.overlay_marks import Marks, path_of, stat_entry

# Never waits, should a FIFO be there meanwhile.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Shown:
    """An object that a view shows.

    Attributes:
        status: Of the object in the highest layer that has it.
        place: That object.
        parts: Of a directory what is merged in it, highest first, itself included.
        parent: The directory that shows it; None for the root.
    """

    __slots__ = ("parent", "parts", "place", "status")

    def __init__(
        self,
        status: os.stat_result,
        place: Part,
        parent: Shown | None,
        parts: Sequence[Part] = (),
    ) -> None:
        self.status = status
        self.place = place
        self.parent = parent
        self.parts = parts


class LayerView:
    """The merged tree of a chain of layers, looked up one name at a time.

    Args:
        directories: Where the layers are open; must outlive the view.
        chain: The numbers of the layers there, highest first; none shows nothing.
        prefix: Where the layers keep their marks.
        owners: How the host's owners are shown, in layers that have such; None where
            they are shown as they are.
    """

    def __init__(
        self,
        directories: LayerDirectories,
        chain: Sequence[int],
        prefix: XattrPrefix,
        owners: StoredOwners | None = None,
    ) -> None:
        self.chain = tuple(chain)
        self.prefix = prefix
        self._directories = directories
        self._owners: dict[int, StoredOwners] = {}
        if owners is not None:
            for position in range(len(self.chain)):
                if owners.hold_in(os.fstat(self.open(Part(position, b"")))):
                    self._owners[position] = owners

    def root(self) -> Shown | None:
        """Return the root, merged of all layers; None of an empty chain.

        Marks on a layer's root mean nothing, as in the kernel.

        Raises:
            OSError: It cannot be read.
        """
        if not self.chain:
            return None
        parts = [Part(position, b"") for position in range(len(self.chain))]
        status = os.fstat(self.open(parts[0]))
        return Shown(self._seen(status, parts[0]), parts[0], None, parts)

    def open(self, part: Part) -> int:
        """Return a descriptor of a directory, lent as :class:`LayerDirectories` does.

        Raises:
            OSError: It cannot be opened.
        """
        return self._directories.get(self.chain[part.position], part.path)

    def names(self, parts: Iterable[Part]) -> set[bytes]:
        """Return every name in these directories; whiteouts are among them.

        Raises:
            OSError: One cannot be read.
        """
        found: set[bytes] = set()
        for part in parts:
            found.update(os.listdir(b"/proc/self/fd/%d" % self.open(part)))
        return found

    def child(self, parent: Shown, name: bytes) -> Shown | None:
        """Look ``name`` up in a directory; None where the view shows nothing.

        Raises:
            OSError: A layer cannot be read, or has a mark that cannot (EINVAL).
        """
        for index, part in enumerate(parent.parts):
            directory = self.open(part)
            status = stat_entry(directory, name)
            if status is None:
                continue
            place = Part(part.position, below(part.path, name))
            if stat.S_ISDIR(status.st_mode):
                search = Search(self, name)
                parts = search.directories(parent.parts[index:])
                seen = self._seen(status, place)
                return Shown(seen, place, parent, parts or (place,))
            if self.hides(directory, name, status):
                return None
            return Shown(self._seen(status, place), place, parent)
        return None

    def hides(self, directory: int, name: bytes, status: os.stat_result) -> bool:
        """Tell whether an entry of a layer is a whiteout, of either form."""
        return is_whiteout(status) or is_xattr_whiteout(
            path_of(directory, name), status, self.prefix
        )

    def entry(self, place: Part) -> tuple[int, bytes]:
        """Return the open directory that holds an object, and its name there.

        Raises:
            OSError: It cannot be opened.
        """
        above, _, name = place.path.rpartition(b"/")
        return self.open(Part(place.position, above)), name or b"."

    def marks(self, shown: Shown) -> Marks:
        """Return the marks of overlayfs on an object, in its highest layer.

        Raises:
            OSError: They cannot be listed.
        """
        return Marks(path_of(*self.entry(shown.place)), self.prefix)

    def xattrs(self, shown: Shown, notes: Notes | None = None) -> dict[bytes, bytes]:
        """Return the attributes that a container sees, sorted.

        See :mod:`snapfs.layer.shown_xattrs` for what ``notes`` tells.

        Raises:
            OSError: They cannot be read.
        """
        path = path_of(*self.entry(shown.place))
        found = shown_xattrs(path, self.prefix, notes or Notes())
        owners = self._owners.get(shown.place.position)
        return owners.xattrs(found) if owners is not None else found

    def link_target(self, shown: Shown) -> bytes:
        """Return what a symlink reads.

        Raises:
            OSError: It cannot be read.
        """
        directory, name = self.entry(shown.place)
        return os.readlink(name, dir_fd=directory)

    def _seen(self, status: os.stat_result, place: Part) -> os.stat_result:
        owners = self._owners.get(place.position)
        return owners.status(status) if owners is not None else status

    def open_content(self, shown: Shown) -> int:
        """Open the content of a regular file for reading, wherever it lies.

        Raises:
            OSError: It cannot be opened; EIO: it is a metacopy without its data, or
                no regular file any more.
        """
        place = shown.place
        if shown.parent is not None and self.marks(shown).is_metacopy():
            parts = [p for p in shown.parent.parts if p.position >= place.position]
            place = Search(self, place.path.rpartition(b"/")[2]).data(parts)
        directory, name = self.entry(place)
        fd = os.open(name, _READ, dir_fd=directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EIO, "was replaced while it was read", place.path)
        return fd
