"""Writing a layer: entries in order become a tar, the same bytes each time.

Rules: image-spec layer.md, and what makes layers reproducible: owners by number, times
in whole seconds that are bounded from above, no access or change times, an object's
first name holds it and later ones are hard links.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from snapfs.errors import FailedPreconditionError, InvalidArgumentError
from snapfs.layer.kinds import Kind
from snapfs.layer.paths import OPAQUE_NAME, WHITEOUT_PREFIX
from snapfs.layer.written import LayerEntry, PlainOutput, order_of
from snapfs.tar.encoding import END_OF_ARCHIVE, TarEntry, encode_header, padding
from snapfs.tar.member import NO_XATTRS, MemberKind, shown

_KINDS: Final = {
    Kind.FILE: MemberKind.FILE,
    Kind.DIRECTORY: MemberKind.DIRECTORY,
    Kind.SYMLINK: MemberKind.SYMLINK,
    Kind.CHARACTER_DEVICE: MemberKind.CHARACTER_DEVICE,
    Kind.BLOCK_DEVICE: MemberKind.BLOCK_DEVICE,
    Kind.FIFO: MemberKind.FIFO,
}
_SECOND_NS: Final = 10**9
_ROOT_NAME: Final = b"./"


@dataclasses.dataclass(frozen=True, slots=True)
class LayerForm:
    """How a layer is written; each choice changes its bytes.

    Attributes:
        keep_ns: Times keep their nanoseconds, in PAX records.
        latest_s: No time is after this one, in seconds since the epoch
            (``SOURCE_DATE_EPOCH``); None for no bound.
        owner: Everything belongs to this uid and gid; None for the owners there are.
    """

    keep_ns: bool = False
    latest_s: int | None = None
    owner: tuple[int, int] | None = None


def write_layer(
    entries: Iterable[LayerEntry], out: PlainOutput, form: LayerForm
) -> int:
    """Write a layer, without compression; return how many members it has.

    ``entries`` come in the order of :func:`order_of`, each path once.

    Raises:
        InvalidArgumentError: They come in another order.
        FailedPreconditionError: A name or its xattrs cannot be in a layer, or a file
            changed while it was read.
        OSError: From reading, or from ``out``.
    """
    writer = _Writer(out, form)
    for entry in entries:
        writer.add(entry)
    out.write(END_OF_ARCHIVE)
    return writer.members


class _Writer:
    """One layer on its way."""

    def __init__(self, out: PlainOutput, form: LayerForm) -> None:
        self._out = out
        self._form = form
        self._latest_ns = None if form.latest_s is None else form.latest_s * _SECOND_NS
        self._first_names: dict[tuple[int, int], bytes] = {}
        self._last: tuple[tuple[int, bytes], ...] | None = None
        self.members = 0

    def add(self, entry: LayerEntry) -> None:
        self._check(entry)
        if entry.kind is Kind.WHITEOUT:
            directory, slash, name = entry.path.rpartition(b"/")
            self._write(_mark(directory + slash + WHITEOUT_PREFIX + name))
            return
        first = self._first_names.get(entry.inode) if entry.inode else None
        if first is not None:
            self._write(self._link(entry, first))
            return
        if entry.inode:
            self._first_names[entry.inode] = entry.path
        self._write(self._header(entry))
        if entry.is_opaque:
            self._write(_mark(_below(entry.path) + OPAQUE_NAME))
        if entry.body is not None and entry.size_bytes:
            entry.body.write_to(self._out, entry.size_bytes)
            self._out.write(padding(entry.size_bytes))

    def _check(self, entry: LayerEntry) -> None:
        """Refuse what no reader would read as it was meant."""
        place = order_of(entry)
        if self._last is not None and place <= self._last:
            raise InvalidArgumentError(f"{shown(entry.path)} comes too late, or twice")
        self._last = place
        if place and place[-1][1].startswith(WHITEOUT_PREFIX):
            raise FailedPreconditionError(
                f"{shown(entry.path)} cannot be in a layer: names that begin with"
                f" {WHITEOUT_PREFIX.decode()!r} delete others; rename it first"
            )

    def _header(self, entry: LayerEntry) -> TarEntry:
        kind = entry.kind
        name = entry.path
        if kind is Kind.DIRECTORY:
            name = _below(name) or _ROOT_NAME
        elif not name:
            raise InvalidArgumentError(f"the root of a layer is {kind.words}")
        uid, gid = self._form.owner or (entry.uid, entry.gid)
        return TarEntry(
            name,
            _KINDS[kind],
            entry.mode,
            uid,
            gid,
            entry.size_bytes if kind is Kind.FILE else 0,
            self._time(entry.mtime_ns),
            entry.link_target,
            entry.device,
            entry.xattrs,
        )

    def _link(self, entry: LayerEntry, first: bytes) -> TarEntry:
        """Return a hard link; xattrs are the first name's, and not said again."""
        link = self._header(entry)
        link.kind = MemberKind.HARDLINK
        link.link_name = first
        link.size_bytes = 0
        link.device = (0, 0)
        link.xattrs = NO_XATTRS
        return link

    def _time(self, time_ns: int) -> int:
        if self._latest_ns is not None and time_ns > self._latest_ns:
            return self._latest_ns
        return time_ns if self._form.keep_ns else time_ns // _SECOND_NS * _SECOND_NS

    def _write(self, entry: TarEntry) -> None:
        self._out.write(encode_header(entry))
        self.members += 1


def _below(path: bytes) -> bytes:
    return path + b"/" if path else b""


def _mark(name: bytes) -> TarEntry:
    """Return a whiteout or opaque mark: an empty file of nobody's and no time."""
    return TarEntry(name, MemberKind.FILE)
