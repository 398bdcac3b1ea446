"""The end of a layer: whiteouts, marks, and what its directories look like.

Directories are finished children first, so that nothing is written below one whose
mode, default ACL or time is final.
"""

from __future__ import annotations

import os

from snapfs.layer.admission import Settlement
from snapfs.layer.attributes import Attributes
from snapfs.layer.descriptors import DirectoryDescriptors
from snapfs.layer.entry_errors import entry_error
from snapfs.layer.form import OverlayForm, make_whiteout, mark_whiteouts
from snapfs.layer.tree import LayerTree
from snapfs.overlay_format import set_opaque


def write_whiteouts(
    tree: LayerTree,
    settlement: Settlement,
    directories: DirectoryDescriptors,
    form: OverlayForm,
) -> None:
    """Make the whiteouts, and mark the directories that hold or are one.

    Raises:
        SnapfsError: One cannot be made; the message names it.
    """
    for whiteout in settlement.whiteouts:
        try:
            directory = directories.get(whiteout.directory)
            make_whiteout(whiteout.name, directory, form)
        except OSError as error:
            path = tree.path_of(whiteout.directory) + b"/" + whiteout.name
            raise entry_error(path, error, "write the whiteout") from error
    for node in settlement.marked:
        try:
            mark_whiteouts(directories.get(node), form)
        except OSError as error:
            raise entry_error(tree.path_of(node), error, "mark it") from error
    for node in settlement.opaque:
        try:
            set_opaque(directories.get(node), form.prefix)
        except OSError as error:
            raise entry_error(tree.path_of(node), error, "make it opaque") from error


def finish_directories(
    tree: LayerTree,
    settlement: Settlement,
    directories: DirectoryDescriptors,
    attributes: Attributes,
) -> int:
    """Give every directory its final attributes, an implied one 0755 of root.

    Returns the blocks of 512 bytes that the directories themselves occupy.

    Raises:
        SnapfsError: They cannot be set; the message names the directory.
    """
    # A directory's node is older than those of what it holds.
    blocks = 0
    for node in sorted((*settlement.directories, *settlement.implied), reverse=True):
        try:
            fd = directories.get(node)
            attributes.set_on_directory(fd, tree.attributes_of(node))
            blocks += os.fstat(fd).st_blocks
        except OSError as error:
            path = tree.path_of(node) or b"/"
            raise entry_error(path, error, "set its attributes") from error
        directories.forget(node)
    return blocks
