"""The entries of a layer that holds the changes between two trees."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from snapfs.errors import FailedPreconditionError
from snapfs.layer.change import ROOT_PATH, Change, ChangeKind, Source
from snapfs.layer.file_body import FileBody
from snapfs.layer.kinds import Kind
from snapfs.layer.notes import Notes
from snapfs.layer.overlay_entries import KINDS
from snapfs.layer.written import LayerEntry, PlainOutput
from snapfs.tar.member import shown


def changed_entries(changes: Iterable[Change], notes: Notes) -> Iterator[LayerEntry]:
    """Yield the entry of each change, in their order.

    ``changes`` come with what did not change and a layer needs. A root that did not
    change is left out: it is as old as the snapshot, and the bytes of a layer do not
    depend on when that was made. A body may be read until the next entry is asked for.

    Raises:
        FailedPreconditionError: A socket, which no layer can hold, took the place of
            something else.
        OSError: What changed cannot be read.
    """
    for change in changes:
        if change.stat is None or change.source is None:
            yield LayerEntry(change.path, Kind.WHITEOUT)
        elif change.path != ROOT_PATH:
            entry = _entry(change, change.path, change.stat, change.source, notes)
            if entry is not None:
                yield entry
        elif change.kind is not ChangeKind.UNCHANGED:
            root = _entry(change, b"", change.stat, change.source, notes)
            assert root is not None, "a root is no socket"
            yield root


def _entry(
    change: Change, path: bytes, status: os.stat_result, source: Source, notes: Notes
) -> LayerEntry | None:
    kind = KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        if change.before is not None:
            raise FailedPreconditionError(
                f"{shown(path)} became a socket, which no layer can hold; remove it"
            )
        notes.add("sockets left out: no layer can hold them")
        return None
    is_device = kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
    number = status.st_rdev
    is_file = kind is Kind.FILE
    return LayerEntry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_size if is_file else 0,
        source.link_target() if kind is Kind.SYMLINK else b"",
        (os.major(number), os.minor(number)) if is_device else (0, 0),
        source.xattrs(),
        inode=change.link_group,
        body=_ChangedBody(source, status, path) if is_file else None,
    )


@dataclass(frozen=True, slots=True)
class _ChangedBody:
    """The content of a changed file, opened when it is written."""

    source: Source
    status: os.stat_result
    path: bytes

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        fd = self.source.open_content()
        try:
            found = os.fstat(fd)
            # Where only the attributes were copied up it is another file.
            is_same = os.path.samestat(found, self.status)
            FileBody(fd, self.status if is_same else found, self.path).write_to(
                out, size_bytes
            )
        finally:
            os.close(fd)
