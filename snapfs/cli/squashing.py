"""One layer of many: what all of them show, with the contents taken from each."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from snapfs.cli.layer_settings import telling_full
from snapfs.errors import DataLossError, FailedPreconditionError
from snapfs.export.config import Step
from snapfs.inspect.contents import DirectoryContents
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.bodies import write_all
from snapfs.layer.index import IndexEntry
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits
from snapfs.layer.notes import Notes
from snapfs.layer.shown_xattrs import without_host_only
from snapfs.layer.written import LayerEntry, PlainOutput
from snapfs.tar.member import shown
from snapfs.unpack.layer_ranges import copy_ranges


class SquashedLayer:
    """The layer that shows what all layers of an image show; a LayerSource.

    Contents of layers that are tars are gathered in a temporary file before, in one
    pass through each that verifies it: they are needed in another order. Files in
    directories are read where they are.

    Args:
        inspection: The image.
        step: What made it, for the image's history.
    """

    def __init__(self, inspection: Inspection, step: Step) -> None:
        self._inspection = inspection
        self.label = inspection.name
        self.step = step

    @contextlib.contextmanager
    def entries(self, notes: Notes) -> Iterator[Iterator[LayerEntry]]:
        """See :class:`snapfs.export.layer_ofsource.LayerSource`."""
        tree = self._inspection.tree()
        with tempfile.TemporaryFile() as spool:
            spooled = self._gather(tree, spool.fileno())
            yield self._entries(tree, spool.fileno(), spooled, notes)

    def _gather(self, tree: MergedTree, spool: int) -> dict[tuple[int, int], int]:
        """Copy all contents that show; return where each begins, by layer and number.

        Names of one file have one content.
        """
        wanted: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for place in tree.walk():
            if not place.is_directory and (body := tree.body(place)) is not None:
                layer, node = body
                index = tree.indexes[layer]
                if index.kinds[node] == Kind.FILE and index.sizes[node]:
                    wanted[layer][index.data[node]] = _stored_bytes(index.entry(node))
        found: dict[tuple[int, int], int] = {}
        at = 0
        for number, sizes in sorted(wanted.items()):
            layer_of = self._inspection.layers[number]
            if isinstance(layer_of.contents, DirectoryContents):
                continue
            ranges = sorted(sizes.items())
            self._copy(number, ranges, spool)
            for offset, size in ranges:
                found[number, offset] = at
                at += size
        return found

    def _copy(self, number: int, ranges: list[tuple[int, int]], spool: int) -> None:
        image, source = self._inspection.image, self._inspection.source
        assert image is not None, "only images have layers that are no directories"
        assert source is not None, "an image has a source"
        with telling_full(f"a temporary file in {tempfile.gettempdir()}"):
            copy_ranges(
                source,
                image.layers[number],
                ranges,
                lambda piece: write_all(spool, piece),
                Limits(),
            )

    def _entries(
        self,
        tree: MergedTree,
        spool: int,
        spooled: dict[tuple[int, int], int],
        notes: Notes,
    ) -> Iterator[LayerEntry]:
        yield _entry(tree.root, tree.entry(tree.root))
        for place in tree.walk():
            found = tree.entry(place)
            entry = _entry(place, found)
            if found.kind is Kind.LOWER_LINK:
                raise DataLossError(
                    f"{shown(place.path)} links to a file of a lower layer, and none"
                    " has it"
                )
            if self._is_socket(place, found):
                notes.add("sockets left out: no layer can hold them")
                continue
            if found.kind is Kind.FILE and found.size_bytes:
                body = tree.body(place)
                assert body is not None, "no link to a lower file"
                number, node = body
                layer = self._inspection.layers[number]
                if isinstance(layer.contents, DirectoryContents):
                    path = tree.indexes[number].path(node)
                    entry.body = _InPlace(layer, path, found)
                else:
                    entry.body = _Spooled(
                        spool, spooled[number, found.data_offset], found
                    )
            yield entry

    def _is_socket(self, place: Place, entry: IndexEntry) -> bool:
        """Tell a socket from a FIFO: the index of a directory does not."""
        layer = self._inspection.layers[place.layer]
        if entry.kind is not Kind.FIFO or not isinstance(
            layer.contents, DirectoryContents
        ):
            return False
        path = os.path.join(os.fsencode(layer.command), place.path)
        return stat.S_ISSOCK(os.lstat(path).st_mode)


def _entry(place: Place, found: IndexEntry) -> LayerEntry:
    is_single = place.is_directory or not found.group
    return LayerEntry(
        place.path,
        found.kind,
        found.mode,
        found.uid,
        found.gid,
        found.mtime_ns,
        found.size_bytes if found.kind is Kind.FILE else 0,
        found.link_target if found.kind is Kind.SYMLINK else b"",
        found.device,
        without_host_only(found.xattrs),
        inode=None if is_single else (place.layer, found.group),
    )


def _stored_bytes(entry: IndexEntry) -> int:
    if entry.sparse is None:
        return entry.size_bytes
    return sum(length for _, length in entry.sparse)


@dataclass(frozen=True, slots=True)
class _Spooled:
    """A content in the temporary file, without its holes."""

    spool: int
    offset: int
    entry: IndexEntry

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        at = 0
        os.lseek(self.spool, self.offset, os.SEEK_SET)
        for start, length in self.entry.sparse or ((0, size_bytes),):
            out.write_zeros(start - at)
            out.read_from(self.spool, length)
            at = start + length
        out.write_zeros(size_bytes - at)


@dataclass(frozen=True, slots=True)
class _InPlace:
    """A content in a directory."""

    layer: Layer
    path: bytes
    entry: IndexEntry

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        left = size_bytes
        for piece in self.layer.contents.read(self.path, self.entry):
            out.write(piece[:left])
            left -= len(piece)
        if left:
            raise FailedPreconditionError(
                f"file {shown(self.path)} changed while it was read; stop what writes"
                " to it and try again"
            )
