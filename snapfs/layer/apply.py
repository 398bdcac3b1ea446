"""Apply a layer: its tar to an empty directory, in overlayfs form, in one pass.

Each entry is admitted by the layer's tree before anything is written; what a later
entry overturns is settled from the tree at the end. Nothing is ever looked up on the
disk. The staging directory must be empty and nobody else's while this runs; whoever
owns it deletes it after any error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from snapfs.layer.attributes import Attributes
from snapfs.layer.descriptors import DirectoryDescriptors
from snapfs.layer.entry_errors import entry_error
from snapfs.layer.finish import finish_directories, write_whiteouts
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.notes import Notes
from snapfs.layer.occupied import STAT_BLOCK_BYTES
from snapfs.layer.tree import LayerTree
from snapfs.layer.writer import Writer
from snapfs.model import Usage
from snapfs.tar.reader import TarReader

Progress = Callable[[int, int], None]
"""Takes the number of entries and of plain bytes so far."""

# Entries between two reports: about ten milliseconds.
_REPORT_EVERY: Final = 512


@dataclass(frozen=True, slots=True)
class Applied:
    """A layer that lies in its staging directory.

    Attributes:
        tree: What the layer holds, settled.
        entries: Members of the tar.
        plain_bytes: Of the tar, with all that follows its end.
        usage: What the directory occupies: a filesystem that preallocates or
            allocates late may say something else afterwards.
        root_opaque: The layer hides everything below it: no lower layer counts.
        warnings: What was left out, and what is odd, a line for each kind.
    """

    tree: LayerTree
    entries: int
    plain_bytes: int
    usage: Usage
    root_opaque: bool
    warnings: tuple[str, ...]


def apply_layer(
    reader: TarReader,
    staging: int,
    form: OverlayForm,
    limits: Limits,
    policy: Policy,
    progress: Progress | None = None,
    *,
    is_lowest: bool = False,
) -> Applied:
    """Write the layer that ``reader`` gives into the open directory ``staging``.

    Afterwards the directory is what overlayfs takes for a lower layer, but for what
    only the layers below can tell (:mod:`snapfs.layer.lower_settle`): implied
    directories are 0755 of root, and links to files of lower layers are missing. The
    reader is at the end of its stream.

    ``is_lowest`` says that the layer lies on nothing: its whiteouts and marks would
    hide nothing, but a bind mount of it would show them, so they are not written.

    Nothing outside of ``staging`` is touched. The process's umask should be 0, so
    that fewer system calls are needed. Without ``policy.keep_owners`` everything
    belongs to the caller, and what takes privileges is left out with a warning.

    Raises:
        UnsafeLayerError: An entry would escape or breaks a limit.
        UnimplementedError: An entry is of a kind that nobody applies any more.
        DataLossError: The tar is damaged.
        ResourceExhaustedError: A disk, a quota or a limit of the kernel is full.
        PermissionDeniedError: The kernel refuses what an entry asks for.
        UnavailableError: The filesystem cannot hold an entry.
        OSError: The staging directory cannot be used at all.
    """
    notes = Notes()
    tree = LayerTree(limits, policy)
    attributes = Attributes(staging, policy, form.prefix, notes)
    directories = DirectoryDescriptors(staging, tree.nodes)
    try:
        writer = Writer(reader, tree, directories, attributes, policy, notes)
        entries = _write_entries(reader, tree, writer, progress)
        if reader.drain():
            notes.add("the tar is followed by bytes that are no part of it")
        settlement = tree.settle()
        for node in settlement.missing:
            try:
                writer.make_directory(node)
            except OSError as error:
                raise entry_error(tree.path_of(node), error) from error
        if is_lowest:
            whiteouts = 0
        else:
            write_whiteouts(tree, settlement, directories, form)
            whiteouts = len(settlement.whiteouts)
        blocks = finish_directories(tree, settlement, directories, attributes)
    finally:
        directories.close()
    if progress:
        progress(entries, reader.position)
    return Applied(
        tree,
        entries,
        reader.position,
        _usage(writer, whiteouts, blocks),
        settlement.root_opaque,
        (*reader.warnings, *notes.lines()),
    )


def _usage(writer: Writer, whiteouts: int, directory_blocks: int) -> Usage:
    blocks = writer.blocks - writer.removed.blocks + directory_blocks
    root = 1
    inodes = writer.inodes - writer.removed.inodes + whiteouts + root
    return Usage(blocks * STAT_BLOCK_BYTES, inodes)


def _write_entries(
    reader: TarReader, tree: LayerTree, writer: Writer, progress: Progress | None
) -> int:
    entries = 0
    next_member, admit, write = reader.next_member, tree.admit, writer.write
    while (member := next_member()) is not None:
        admission = admit(member)
        try:
            write(member, admission)
        except OSError as error:
            raise entry_error(member.name, error) from error
        entries += 1
        if progress and not entries % _REPORT_EVERY:
            progress(entries, reader.position)
    return entries
