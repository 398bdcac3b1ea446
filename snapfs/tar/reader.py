"""The reader: members one at a time from a stream of plain blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import numbers, sparse
from snapfs.tar.common import CommonMembers
from snapfs.tar.extensions import (
    GLOBAL,
    LONG_LINK,
    LONG_NAME,
    PAX,
    Extensions,
    read_extension,
)
from snapfs.tar.header import (
    BLOCK_BYTES,
    KINDS,
    SPARSE,
    WITH_BODY,
    ZERO_BLOCK,
    checksum_holds,
    complete,
    means_directory,
    new_sums,
    unpack_header,
    with_prefix,
)
from snapfs.tar.member import NO_DEVICE, NO_XATTRS, Member, MemberKind, shown
from snapfs.tar.pax import parse as parse_pax
from snapfs.tar.stream import PlainStream

_FILE: Final = MemberKind.FILE
_EXTENSIONS: Final = frozenset((PAX, LONG_NAME, LONG_LINK))
_VOLUME: Final = ord("V")

# A body that crosses blocks is joined up to this size; larger ones come in pieces.
_JOINED_BYTES: Final = 1 << 20


class TarReader:
    """Members of one tar, front to back, from a stream that is read once.

    Understood are v7, ustar, star, PAX and GNU, as ``snapfs/tar/README.md`` lists
    them. Whatever the bytes are, the outcome is members or one of the errors
    below; memory is bounded by a block, ``extension_bytes`` and a joined body of
    a mebibyte.

    Args:
        read_block: Returns the next plain bytes, any number but 0; b"" at the end.
        extension_bytes: What one extension header or sparse map may take.

    Attributes:
        warnings: What was ignored, one line a kind.
    """

    def __init__(
        self, read_block: Callable[[], bytes], *, extension_bytes: int
    ) -> None:
        self.warnings: list[str] = []
        self._warned: set[str] = set()
        self._stream = PlainStream(read_block)
        self._extension_bytes = extension_bytes
        self._sums = new_sums()
        self._owners = numbers.Memo(numbers.owners)
        self._sizes = numbers.Memo(numbers.size)
        self._times = numbers.Memo(numbers.header_time)
        self._common = CommonMembers(
            self._sums, self._owners, self._sizes, self._times
        ).read
        # Where the next header is, and what of the body was not handed out yet.
        self._next = 0
        self._left = 0
        self._ended = False
        self._failure: DataLossError | UnsafeLayerError | None = None
        # For messages: the header being read, and its name once it is known.
        self._offset = 0
        self._name: bytes | None = None

    @property
    def position(self) -> int:
        """Return how many plain bytes were consumed."""
        return self._stream.position

    def next_member(self) -> Member | None:
        """Return the next member, past what is left of the last one's body.

        The end of the archive is two zero blocks, one at the end of the stream,
        or the end of the stream in place of a header.

        Raises:
            DataLossError: The archive is cut short, or contradicts itself or its
                format.
            UnsafeLayerError: An extension is larger than allowed.
        """
        if self._ended:
            if self._failure:
                raise self._failure
            return None
        try:
            offset = self._next
            if member := self._common(self._stream, offset):
                self._name = member.name
                self._offset = offset
                self._left = stored = member.stored_bytes
                self._next = (offset + 2 * BLOCK_BYTES - 1 + stored) & -BLOCK_BYTES
                return member
            self._finish_body()
            self._offset = self._stream.position
            self._name = None
            return self._read_member()
        except (DataLossError, UnsafeLayerError) as error:
            # What follows cannot be told apart from a smuggled member.
            self._ended = True
            self._failure = type(error)(f"{self._where()}: {error}")
            raise self._failure from error

    def take_body(self) -> memoryview | None:
        """Return what is left of the body, if it is in memory or small.

        None means that it crosses blocks and is large: use ``read_body``.

        Raises:
            DataLossError: The stream ends before the body does.
        """
        left = self._left
        stream = self._stream
        start = stream.at
        end = start + left
        if end <= len(stream.block):
            stream.at = end
            self._left = 0
            return memoryview(stream.block)[start:end]
        if left > _JOINED_BYTES:
            return None
        try:
            view = stream.join(left)
        except DataLossError as error:
            raise self._cut_short(error) from error
        self._left = 0
        return view

    def read_body(self) -> Iterator[memoryview]:
        """Yield what is left of the body, in pieces of at most a block.

        Stop before the end, and the next member skips the rest.

        Raises:
            DataLossError: The stream ends before the body does.
        """
        end = self._next
        try:
            for piece in self._stream.pieces(self._left):
                self._left -= len(piece)
                yield piece
                if self._next != end:
                    return
        except DataLossError as error:
            raise self._cut_short(error) from error

    def drain(self) -> bool:
        """Read on to the end of the stream; return whether junk was there.

        Call it when ``next_member`` has returned None. What follows the end of an
        archive belongs to the layer's digest; only zeros are expected there.
        """
        junk = False
        for piece in self._stream.rest():
            junk = junk or bytes(piece) != bytes(len(piece))
        return junk

    def _finish_body(self) -> None:
        """Go to where the next header is."""
        stream = self._stream
        gap = self._next - stream.position
        if gap:
            try:
                stream.skip(gap)
            except DataLossError as error:
                raise DataLossError(f"the body is cut short: {error}") from error
        self._left = 0

    def _read_member(self) -> Member | None:
        """Read headers up to and with the next member's own."""
        extensions: Extensions | None = None
        while True:
            header = self._stream.header()
            if not header or not self._is_sound(header):
                if extensions:
                    raise DataLossError("the archive ends before the member itself")
                self._ended = True
                return None
            fields = unpack_header(header)
            flag = fields[5]
            if flag in KINDS:
                return self._member(header, fields, extensions)
            if flag in _EXTENSIONS:
                extensions = extensions or Extensions()
                extensions.add(flag, self._extension(flag, fields[2]))
            else:
                self._pass_over(flag, fields, extensions)

    def _is_sound(self, header: bytes) -> bool:
        """Return whether a header block is one; False means the end of archive."""
        if checksum_holds(header, self._sums):
            return True
        if header != ZERO_BLOCK:
            hint = "" if self._offset else "; this is not a tar"
            raise DataLossError(f"the header's checksum does not hold{hint}")
        after = self._stream.header()
        if after and after != ZERO_BLOCK:
            raise DataLossError("a zero block in the middle of the archive")
        return False

    def _extension(self, flag: int, size_field: bytes) -> bytes:
        """Return the body of an extension header."""
        return read_extension(self._stream, flag, size_field, self._extension_bytes)

    def _pass_over(
        self,
        flag: int,
        fields: tuple[bytes, bytes, bytes, bytes, bytes, int, bytes, bytes, bytes],
        extensions: Extensions | None,
    ) -> None:
        """Ignore a header that makes nothing, with a warning; refuse the unknown."""
        if flag not in (GLOBAL, _VOLUME):
            self._name = fields[0].partition(b"\0")[0]
            what = "continues another volume" if flag == ord("M") else "is unknown"
            raise DataLossError(f"its type {bytes([flag])!r} {what}")
        if extensions:
            raise DataLossError("another header between an extension and its member")
        if flag == GLOBAL:
            records = parse_pax(self._extension(flag, fields[2]))
            keywords = ", ".join(shown(keyword) for keyword in sorted(records.values))
            self._warn("global", f"global PAX header ignored ({keywords[:200]})")
        else:
            size = self._sizes[fields[2]]
            self._stream.skip(size + -size % BLOCK_BYTES)
            self._warn("volume", "volume label ignored")
        self._offset = self._stream.position

    def _member(
        self,
        header: bytes,
        fields: tuple[bytes, bytes, bytes, bytes, bytes, int, bytes, bytes, bytes],
        extensions: Extensions | None,
    ) -> Member:
        """Return the member of a sound header, with its extensions applied."""
        raw_name, owners, size, mtime, _, flag, link, _, prefix = fields
        name = raw_name.partition(b"\0")[0]
        if prefix[0]:
            name = with_prefix(name, prefix, header)
        self._name = name
        mode, uid, gid = self._owners[owners]
        stored = self._sizes[size] if flag in WITH_BODY else 0
        member = Member(
            name,
            KINDS[flag],
            mode,
            uid,
            gid,
            stored,
            stored,
            self._times[mtime],
            b"",
            NO_DEVICE,
            NO_XATTRS,
            None,
            self._offset,
            0,
        )
        if member.kind is not _FILE:
            complete(member, header, link)
        if extensions:
            extensions.apply(member)
            self._name = member.name
            if extensions.pax and extensions.pax.has_acls:
                self._warn("acl", "ACLs written as text (SCHILY.acl) ignored")
        pax = extensions.pax if extensions else None
        if pax or flag == SPARSE:
            sparse.read_map(member, header, pax, self._block, self._extension_bytes)
        self._begin_body(member, header, flag)
        return member

    def _block(self) -> bytes:
        """Return a block of a sparse map."""
        block = self._stream.header()
        if not block:
            raise DataLossError("the stream ends in the sparse map")
        return block

    def _begin_body(self, member: Member, header: bytes, flag: int) -> None:
        """Note where the body is; a directory's is passed over unseen."""
        data_offset = member.data_offset = self._stream.position
        body = member.stored_bytes if flag in WITH_BODY else 0
        if member.name.endswith(b"/") and means_directory(flag, header):
            member.kind = MemberKind.DIRECTORY
        if member.kind is not _FILE:
            member.size_bytes = member.stored_bytes = 0
            member.sparse = None
        self._left = member.stored_bytes
        self._next = (data_offset + body + BLOCK_BYTES - 1) & -BLOCK_BYTES

    def _warn(self, topic: str, text: str) -> None:
        """Note the first warning about ``topic``."""
        if topic not in self._warned:
            self._warned.add(topic)
            self.warnings.append(f"{self._where()}: {text}")

    def _cut_short(self, error: DataLossError) -> DataLossError:
        """Return the error for a body that the stream does not hold."""
        return DataLossError(f"{self._where()}: the body is cut short: {error}")

    def _where(self) -> str:
        """Return what a message calls the member at hand."""
        if self._name is None:
            return f"tar header at byte {self._offset}"
        return f"{shown(self._name)} (tar header at byte {self._offset})"
