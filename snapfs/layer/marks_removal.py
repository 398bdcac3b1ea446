"""Taking the marks of a layer away: as the lowest of its chain it hides nothing.

A single layer is shown by a bind mount, which shows whiteouts as devices.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass

from snapfs import overlay_format
from snapfs.layer.form import OverlayForm
from snapfs.layer.places import opened_below, unlocked
from snapfs.layer.tree import LayerTree


@dataclass(frozen=True, slots=True)
class LayerMarks:
    """Where a layer has marks of overlayfs; paths are relative to its root.

    Attributes:
        whiteouts: Names that stand for deleted ones.
        directories: Those that are opaque or hold whiteouts.
    """

    whiteouts: tuple[bytes, ...] = ()
    directories: tuple[bytes, ...] = ()


def layer_marks(tree: LayerTree) -> LayerMarks:
    """Return the marks that the applied layer of ``tree`` has on disk."""
    settlement = tree.settle()
    whiteouts = (
        b"/".join(filter(None, (tree.path_of(each.directory), each.name)))
        for each in settlement.whiteouts
    )
    nodes = {*settlement.marked, *settlement.opaque}
    return LayerMarks(tuple(whiteouts), tuple(map(tree.path_of, sorted(nodes))))


def remove_marks(content: int, marks: LayerMarks, form: OverlayForm) -> None:
    """Take ``marks`` away below the open directory ``content``; it may be done twice.

    Times and modes of directories stay.

    Raises:
        OSError: As the filesystem says.
    """
    for path in marks.whiteouts:
        parent, _, name = path.rpartition(b"/")
        with (
            opened_below(content, parent) as directory,
            unlocked(directory),
            contextlib.suppress(FileNotFoundError),
        ):
            os.unlink(name, dir_fd=directory)
    for path in marks.directories:
        with opened_below(content, path) as directory:
            for mark in (overlay_format.ORIGIN, overlay_format.OPAQUE):
                _remove_attribute(directory, form.prefix.attribute(mark))


def _remove_attribute(directory: int, name: str) -> None:
    try:
        os.removexattr(directory, name)
    except OSError as error:
        if error.errno != errno.ENODATA:  # it has the other one
            raise
