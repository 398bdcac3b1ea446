"""Searching a name through the layers of a merged directory.

The rules are those of ``ovl_lookup`` (``fs/overlayfs/namei.c``). The common cases, a
file or a directory of one layer, cost one fstatat(2) in each layer searched; the
marks of directories that can be merged are read by one listxattr(2) more.
"""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left

from snapfs.fuse.union.lookup import FORMAT_MASK, Found, is_hidden, may_be_metacopy
from snapfs.fuse.union.node import IMPURE, LOWER_IMPURE, METACOPY, XATTR_WHITEOUTS
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.overlay_marks import Marks, path_of, stat_entry

if TYPE_CHECKING:
    from snapfs.fuse.union.node import Directory
    from snapfs.fuse.union.union import Union

_DIRECTORY: Final = stat.S_IFDIR
_REGULAR: Final = stat.S_IFREG
_CHARACTER: Final = stat.S_IFCHR
_PATH_FLAGS: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find(union: Union, parent: Directory, name: bytes, start: int = -1) -> Found | None:
    """Look ``name`` up in the layers of ``parent``; None where there is nothing.

    Args:
        union: Whose layers.
        parent: The directory.
        name: One component.
        start: The layer that is known to have the highest entry, not a whiteout; -1
            to search.

    Raises:
        OSError: From the layers; EPERM for a redirect or metacopy that may not be
            followed, EIO for a metacopy without its data, EINVAL and EIO for marks
            that cannot be read, ELOOP for a layer found within another.
    """
    directory_fd = union.directory_fd
    layers = union.stack.layers
    stack = (0, *parent.lowers) if parent.has_upper else parent.lowers
    if start > 0:
        stack = stack[bisect_left(stack, start) :]
    for position, index in enumerate(stack):
        fd = directory_fd(parent, index)
        status = stat_entry(fd, name)
        if status is None:
            continue
        mode = status.st_mode & FORMAT_MASK
        if mode == _DIRECTORY:
            is_trap = (status.st_dev, status.st_ino) in union.traps
            if index == union.last_lower and not is_trap:
                return Found(status, index)  # nothing can be below it
            return Search(union, parent, name, status).run(stack[position:])
        if mode in (_REGULAR, _CHARACTER):
            layer = layers[index]
            is_full = mode == _REGULAR and status.st_size  # and so no whiteout
            if not is_full and is_hidden(fd, name, status, layer, union):
                if not index:
                    union.note_whiteout(parent, name)
                return None
            impure = parent.flags & (LOWER_IMPURE if index else IMPURE)
            if mode == _REGULAR and may_be_metacopy(status, layer, impure):
                return Search(union, parent, name, status).run(stack[position:])
        return Found(status, index)
    return None


def _error(code: int, text: str, name: bytes) -> OSError:
    import logging  # only now: a server that never warns need not load it

    logging.getLogger(__name__).warning("%s: %r", text, name)
    return OSError(code, text, name)


class Search:
    """The search for all that makes up a directory or a metacopy file.

    It changes on the way down as ``struct ovl_lookup_data`` does: ``target`` is the
    name, or the absolute path that a redirect gave; ``must_stop`` says that what was
    found hides what is below.

    Args:
        union: Whose layers.
        parent: The directory.
        name: The name in it.
        status: What the highest layer has of that name.
    """

    __slots__ = (
        "found",
        "is_directory",
        "is_metacopy",
        "is_redirected",
        "known",
        "must_stop",
        "name",
        "parent",
        "target",
        "union",
    )

    def __init__(
        self, union: Union, parent: Directory, name: bytes, status: os.stat_result
    ) -> None:
        self.union = union
        self.parent = parent
        self.name = name
        self.target = name
        self.found: Found | None = None
        self.is_directory = False
        self.is_metacopy = False
        self.is_redirected = False
        self.must_stop = False
        self.known: os.stat_result | None = status

    def run(self, stack: tuple[int, ...]) -> Found | None:
        """Go down ``stack``; the first layer is the highest that has the name."""
        remaining = list(reversed(stack))
        restarted = False
        while remaining and not self.must_stop:
            index = remaining.pop()
            self._search_layer(index)
            if self.target[:1] == b"/" and not restarted:
                restarted = True  # from the roots, at the layer below this one
                roots = self.union.stack.lowers
                remaining = [lower for lower in reversed(roots) if lower > index]
        if self.is_metacopy and self.target[:1] == b"/" and not self.must_stop:
            self._search_data_layers()
        return self._result()

    def _search_layer(self, index: int) -> None:
        target = self.target
        if target[:1] != b"/":
            fd = self.union.directory_fd(self.parent, index)
            path = None if target is self.name else self._path_in(index, target)
            self._see(index, fd, target, path)
            return
        fd = root_fd = self.union.stack.layers[index].root_fd
        parts = target.split(b"/")
        try:
            for position in range(1, len(parts) - 1):
                after = b"/".join(parts[position + 1 :])
                before = b"/".join(parts[:position])
                if not self._pass(index, fd, parts[position], before, after):
                    return
                below = os.open(parts[position], _PATH_FLAGS, dir_fd=fd)
                if fd != root_fd:
                    os.close(fd)
                fd = below
            self._see(index, fd, parts[-1], target[1:])
        finally:
            if fd != root_fd:
                os.close(fd)

    def _pass(
        self, index: int, fd: int, name: bytes, before: bytes, after: bytes
    ) -> bool:
        """Look at one directory on an absolute path; tell whether to go on in it."""
        status = stat_entry(fd, name)
        if status is None:
            return False
        layer = self.union.stack.layers[index]
        if status.st_mode & FORMAT_MASK != _DIRECTORY or is_hidden(
            fd, name, status, layer, self.union
        ):
            self.must_stop = True
            return False
        if index != self.union.last_lower and layer.has_xattrs:
            marks = Marks(path_of(fd, name), self.union.stack.prefix)
            if marks.is_opaque:
                self.must_stop = True
            redirect = marks.redirect() if not marks.is_opaque else None
            if redirect is not None:
                start = redirect if redirect[:1] == b"/" else before + b"/" + redirect
                self._redirect_to(start + b"/" + after, redirect)
        return True

    def _see(self, index: int, fd: int, name: bytes, path: bytes | None) -> None:
        """Take in what a layer has under the name or at the end of the path."""
        status = self.known or stat_entry(fd, name)
        self.known = None
        if status is None:
            return
        layer = self.union.stack.layers[index]
        mode = status.st_mode & FORMAT_MASK
        is_wrong = self.is_metacopy and mode != _REGULAR
        if is_wrong or is_hidden(fd, name, status, layer, self.union):
            self.must_stop = True
        elif mode == _DIRECTORY:
            self._see_directory(index, fd, name, path, status)
        elif self.is_directory:
            self.must_stop = True
        else:
            self._see_file(index, fd, name, path, status)

    def _see_directory(
        self, index: int, fd: int, name: bytes, path: bytes | None, st: os.stat_result
    ) -> None:
        if (st.st_dev, st.st_ino) in self.union.traps:
            raise _error(errno.ELOOP, "a layer lies within another", self.name)
        self.is_directory = True
        found = self._add(index, path, st)
        layer = self.union.stack.layers[index]
        if index == self.union.last_lower or not layer.has_xattrs:
            return
        marks = Marks(path_of(fd, name), self.union.stack.prefix)
        if marks.is_empty:
            return
        if marks.is_impure:
            found.flags |= LOWER_IMPURE if index else IMPURE
        if marks.is_opaque:
            self.must_stop = True
            return
        if index and marks.has_xattr_whiteouts:
            found.flags |= XATTR_WHITEOUTS
        self._follow(marks, index)

    def _see_file(
        self, index: int, fd: int, name: bytes, path: bytes | None, st: os.stat_result
    ) -> None:
        layer = self.union.stack.layers[index]
        found = self._add(index, path, st)
        impure = self.parent.flags & (LOWER_IMPURE if index else IMPURE)
        self.is_metacopy = False
        if st.st_mode & FORMAT_MASK == _REGULAR and (
            may_be_metacopy(st, layer, impure or len(found.places) > 1)
        ):
            marks = Marks(path_of(fd, name), self.union.stack.prefix)
            self.is_metacopy = not marks.is_empty and marks.is_metacopy()
            if self.is_metacopy:
                if not self.union.options.follow_metacopy:
                    raise _error(errno.EPERM, "metacopy is not followed", self.name)
                self._follow(marks, index)
                return
        self.must_stop = True

    def _follow(self, marks: Marks, index: int) -> None:
        redirect = marks.redirect()
        if redirect is None:
            return
        if redirect[:1] == b"/":
            self._redirect_to(redirect, redirect)
        elif self.target[:1] == b"/":
            above = self.target.rpartition(b"/")[0]
            self._redirect_to(above + b"/" + redirect, redirect)
        else:
            self._redirect_to(redirect, redirect)

    def _redirect_to(self, target: bytes, redirect: bytes) -> None:
        if redirect[:1] == b"/":
            # What was opaque above it no longer counts (ovl_check_redirect).
            self.must_stop = False
        self.is_redirected = True
        self.target = target

    def _add(self, index: int, path: bytes | None, status: os.stat_result) -> Found:
        found = self.found
        if found is None:
            self.found = found = Found(status, index)
            found.places[0] = (index, path)
            return found
        if self.is_redirected and not self.union.options.follow_redirects:
            raise _error(errno.EPERM, "redirect is not followed", self.name)
        if found.lower is None:
            found.lower = (status, index)
        found.places.append((index, path))
        return found

    def _path_in(self, index: int, name: bytes) -> bytes:
        above = self.union.layer_path(self.parent, index)
        return above + b"/" + name if above else name

    def _search_data_layers(self) -> None:
        for index in self.union.stack.data_layers:
            self._search_layer(index)
            if self.must_stop:
                return

    def _result(self) -> Found | None:
        found = self.found
        if found is None or self.is_directory:
            return found
        if self.is_metacopy:
            raise _error(errno.EIO, "no data for a metacopy", self.name)
        if len(found.places) > 1:
            found.places = [found.places[0], found.places[-1]]
            found.flags |= METACOPY
        return found
