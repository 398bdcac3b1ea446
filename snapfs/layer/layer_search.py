"""The search for all that makes up one object: a merged directory, a metacopy's data.

As in ``ovl_lookup`` (``fs/overlayfs/namei.c``) it goes down the layers:
a whiteout, an opaque directory and what is of another type end the search; a redirect
says where the layers below have the object, from their roots if it is absolute.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from snapfs.overlay_marks import Marks, path_of, stat_entry

if TYPE_CHECKING:
    from snapfs.layer.layer_view import LayerView


class Part(NamedTuple):
    """An object of one layer: the layer's position in the chain, the path in it."""

    position: int
    path: bytes


def below(path: bytes, name: bytes) -> bytes:
    """Return the path of ``name`` in the directory ``path``; b"" is the root."""
    return path + b"/" + name if path else name


class Search:
    """One search; ``name`` is looked for in the parts of its parent, highest first.

    As in ``struct ovl_lookup_data``, what is found on the way decides how to go on:
    ``_target`` is the name, or the absolute path that a redirect gave; ``_is_over``
    says that what was found hides what is below.
    """

    def __init__(self, view: LayerView, name: bytes) -> None:
        self._view = view
        self._name = name
        self._target = name
        self._found: list[Part] = []
        self._data: Part | None = None
        self._wants_data = False
        self._is_over = False

    def directories(self, parts: Sequence[Part]) -> list[Part]:
        """Return the directories that are merged; the first part has the highest.

        Raises:
            OSError: A layer or a mark cannot be read.
        """
        self._run(parts)
        return self._found

    def data(self, parts: Sequence[Part]) -> Part:
        """Return the file with the data of a metacopy, which the first part has.

        Raises:
            OSError: As above; EIO: no layer has the data.
        """
        self._wants_data = True
        self._run(parts)
        if self._data is None:
            raise OSError(errno.EIO, "no layer has the data of a metacopy", self._name)
        return self._data

    def _run(self, parts: Sequence[Part]) -> None:
        remaining = list(reversed(parts))
        is_restarted = False
        while remaining and not self._is_over:
            part = remaining.pop()
            if self._target[:1] == b"/":
                self._search_from_root(part.position)
            else:
                self._see(part, self._target)
            if self._target[:1] == b"/" and not is_restarted:
                is_restarted = True  # from the roots, at the layer below this one
                lowest = len(self._view.chain) - 1
                roots = range(lowest, part.position, -1)
                remaining = [Part(position, b"") for position in roots]

    def _search_from_root(self, position: int) -> None:
        at = Part(position, b"")
        *way, name = self._target[1:].split(b"/")
        for index, passed in enumerate(way):
            rest = b"/".join([*way[index + 1 :], name])
            if not self._pass(at, passed, rest):
                return
            at = Part(position, below(at.path, passed))
        self._see(at, name)

    def _pass(self, parent: Part, name: bytes, rest: bytes) -> bool:
        """Look at a directory on an absolute path; tell whether to go on in it."""
        directory = self._view.open(parent)
        status = stat_entry(directory, name)
        if status is None:
            return False
        if not stat.S_ISDIR(status.st_mode):
            self._is_over = True
            return False
        if not self._is_lowest(parent):
            marks = self._marks(directory, name)
            if marks.is_opaque:
                self._is_over = True
                return True
            redirect = marks.redirect()
            if redirect is not None:
                above = b"/" + parent.path if parent.path else b""
                self._redirect_to(above, redirect)
                self._target += b"/" + rest
        return True

    def _see(self, parent: Part, name: bytes) -> None:
        """Take in what a layer has as ``name`` in a directory."""
        directory = self._view.open(parent)
        status = stat_entry(directory, name)
        if status is None:
            return
        part = Part(parent.position, below(parent.path, name))
        is_wrong = stat.S_ISREG(status.st_mode) != self._wants_data
        if is_wrong or self._view.hides(directory, name, status):
            self._is_over = True
        elif self._wants_data:
            self._see_file(part, self._marks(directory, name))
        elif stat.S_ISDIR(status.st_mode):
            self._see_directory(part, directory, name)
        else:
            self._is_over = True

    def _see_directory(self, part: Part, directory: int, name: bytes) -> None:
        self._found.append(part)
        if self._is_lowest(part):
            return
        marks = self._marks(directory, name)
        if marks.is_empty:
            return
        if marks.is_opaque:
            self._is_over = True
        else:
            self._follow(marks)

    def _see_file(self, part: Part, marks: Marks) -> None:
        if marks.is_metacopy():
            self._follow(marks)
        else:
            self._data = part
            self._is_over = True

    def _follow(self, marks: Marks) -> None:
        redirect = marks.redirect()
        if redirect is not None:
            self._redirect_to(self._target.rpartition(b"/")[0], redirect)

    def _redirect_to(self, above: bytes, redirect: bytes) -> None:
        """Look elsewhere from the next layer on; ``above`` may be b""."""
        if redirect[:1] == b"/":
            self._target = redirect
            self._is_over = False  # what was opaque above it no longer counts
        elif self._target[:1] == b"/":
            self._target = above + b"/" + redirect
        else:
            self._target = redirect

    def _is_lowest(self, part: Part) -> bool:
        return part.position == len(self._view.chain) - 1

    def _marks(self, directory: int, name: bytes) -> Marks:
        return Marks(path_of(directory, name), self._view.prefix)
