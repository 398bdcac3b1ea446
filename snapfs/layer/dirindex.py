"""Reading ``dirindex``: a layer's directories, listed without a system call.

For the FUSE engine: what a READDIRPLUS answer needs of an entry lies in the file as
the kernel wants it, so that it is copied, not computed. The file is mapped once and
shared by all that open it. Whatever gives rise to doubt makes it as if it were not
there: every caller can list the directory itself.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

from snapfs.closing import Closing
from snapfs.layer import dirindex_format as form
from snapfs.layer.dirindex_format import (
    ENTRY_BYTES,
    ROOT,
    DirectoryFlag,
    EntryFlag,
    Header,
)

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Listing:
    """The entries of one directory, in the order of their names' bytes.

    An entry's position never changes: it can serve as the offset of readdir(3). All
    views are into the mapped file.

    Attributes:
        number: Of the directory, in its index.
        parent: The number of the directory above; of the root its own.
        flags: What overlayfs's marks say of it.
        records: The records of the entries, ``ENTRY_BYTES`` each.
        names: Their names, one after the other.
    """

    __slots__ = ("_count", "flags", "names", "number", "parent", "records")

    def __init__(
        self,
        number: int,
        parent: int,
        flags: DirectoryFlag,
        records: memoryview,
        names: memoryview,
    ) -> None:
        self.number = number
        self.parent = parent
        self.flags = flags
        self.records = records
        self.names = names
        self._count = len(records) // ENTRY_BYTES

    def __len__(self) -> int:
        """Return the number of entries; ``.`` and ``..`` are not among them."""
        return self._count

    def name(self, position: int) -> bytes:
        """Return the name of an entry."""
        _, at, length, _, _ = self._tail(position)
        return bytes(self.names[at : at + length])

    def attributes(self, position: int) -> memoryview:
        """Return the ``struct fuse_attr`` of an entry, with its inode number on disk.

        Times are those of when the index was made; a reader may have changed the
        access time since, and nobody anything else.
        """
        at = position * ENTRY_BYTES
        return self.records[at : at + form.ATTRIBUTES_BYTES]

    def directory_type(self, position: int) -> int:
        """Return the DT_* of an entry, as readdir(3) has it."""
        kind: int = self._tail(position)[3]
        return kind

    def entry_flags(self, position: int) -> EntryFlag:
        """Return what overlayfs's marks say of an entry."""
        return EntryFlag(self._tail(position)[4])

    def directory_number(self, position: int) -> int | None:
        """Return the number of a directory; None if the entry is none."""
        number: int = self._tail(position)[0]
        return None if number == form.NO_DIRECTORY else number

    def find(self, name: bytes) -> int | None:
        """Return the position of an entry; None if there is none."""
        position = bisect_left(range(self._count), name, key=self.name)
        if position < self._count and self.name(position) == name:
            return position
        return None

    def walk(
        self, start: int = 0
    ) -> Iterator[tuple[int, bytes, memoryview, int, EntryFlag]]:
        """Yield entries from a position on.

        Of each: the position, the name, the ``struct fuse_attr``, DT_* and flags.
        """
        at = start * ENTRY_BYTES
        tails = form.ENTRY_TAIL.unpack_from
        for position in range(start, self._count):
            end = at + form.ATTRIBUTES_BYTES
            _, name_at, length, kind, flags = tails(self.records, end)
            name = bytes(self.names[name_at : name_at + length])
            yield position, name, self.records[at:end], kind, EntryFlag(flags)
            at += ENTRY_BYTES

    def _tail(self, position: int) -> tuple[int, ...]:
        if not 0 <= position < self._count:
            raise IndexError(position)
        return form.ENTRY_TAIL.unpack_from(
            self.records, position * ENTRY_BYTES + form.ATTRIBUTES_BYTES
        )


class DirIndex(Closing):
    """The directories of one layer by number; the root is :data:`ROOT`.

    Threads may share one. Listings may outlive it; the file stays mapped with them.

    Attributes:
        generation: That it was written with.
        entries: How many there are in all directories; the root is none.
        root_attributes: The ``struct fuse_attr`` of the root.
    """

    def __init__(self, mapped: mmap.mmap, header: Header) -> None:
        self.generation = header.generation
        self.entries = header.entries
        self._mapped = mapped
        self._view = memoryview(mapped)
        self._table_at = header.table_at
        self._directories = header.directories
        self._sound = bytearray(header.directories)
        attributes_end = form.HEADER.size + form.ATTRIBUTES_BYTES
        self.root_attributes = self._view[form.HEADER.size : attributes_end]

    def __len__(self) -> int:
        """Return the number of directories."""
        return self._directories

    def listing(self, number: int) -> Listing | None:
        """Return the entries of a directory; None if they are damaged.

        They are verified when they are first asked for.
        """
        if not 0 <= number < self._directories:
            raise IndexError(number)
        at, count, name_bytes, checksum, parent, flags = form.DIRECTORY.unpack_from(
            self._view, self._table_at + number * form.DIRECTORY.size
        )
        names_at = at + count * ENTRY_BYTES
        block = self._view[at : names_at + name_bytes]
        if not self._sound[number]:
            if names_at + name_bytes > self._table_at or crc32(block) != checksum:
                return None
            self._sound[number] = 1
        return Listing(
            number,
            parent,
            DirectoryFlag(flags),
            self._view[at:names_at],
            self._view[names_at : names_at + name_bytes],
        )

    def find(self, components: Iterable[bytes]) -> int | None:
        """Return the number of the directory at a path below the root.

        None if there is none, or one on the way to it is damaged. Symlinks are not
        followed, and ``.`` and ``..`` are no names.
        """
        number: int | None = ROOT
        for name in components:
            listing = None if number is None else self.listing(number)
            position = None if listing is None else listing.find(name)
            if listing is None or position is None:
                return None
            number = listing.directory_number(position)
        return number

    def close(self) -> None:
        """Let go of the file; it is unmapped as soon as no listing is in use."""
        self.root_attributes.release()
        self._view.release()
        with contextlib.suppress(BufferError):  # a listing is in use
            self._mapped.close()


def open_dirindex(
    directory: int | str | bytes, root: int, generation: int = form.GENERATION
) -> DirIndex | None:
    """Open the index of the layer whose ``fs`` is the open directory ``root``.

    ``directory`` is the snapshot's numbered directory: open, or its path.
    ``generation`` is that of the snapshot's row; 0 says that there is no index.

    Returns:
        None if there is no index, or any doubt about it: another version, machine or
        generation, a size or a checksum that is wrong, or a root that is not the one
        it was made for (the layer was copied or restored).
    """
    if not generation:
        return None
    try:
        mapped = _map(directory)
    except OSError:
        return None  # an index is never needed
    if mapped is None:
        return None
    header = _sound_header(mapped)
    status = os.fstat(root)
    expected = (generation, status.st_dev, status.st_ino)
    if header is None or (header.generation, header.device, header.ino) != expected:
        mapped.close()
        return None
    return DirIndex(mapped, header)


def _map(directory: int | str | bytes) -> mmap.mmap | None:
    if isinstance(directory, int):
        fd = os.open(form.FILE_NAME, _OPEN, dir_fd=directory)
    else:
        fd = os.open(os.path.join(os.fsdecode(directory), form.FILE_NAME), _OPEN)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size < form.HEADER_BYTES:
            return None
        return mmap.mmap(fd, status.st_size, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)


def _sound_header(mapped: mmap.mmap) -> Header | None:
    """Return the header, if it and the table are as they were written."""
    header = Header._make(form.HEADER.unpack_from(mapped))
    kind = (header.magic, header.version, header.byte_order)
    table_bytes = header.directories * form.DIRECTORY.size
    if (
        kind != (form.MAGIC, form.VERSION, form.BYTE_ORDER)
        or header.file_bytes != len(mapped)
        or not header.table_at >= form.HEADER_BYTES
        or header.table_at + table_bytes != header.file_bytes
        or not header.directories
    ):
        return None
    attributes_end = form.HEADER.size + form.ATTRIBUTES_BYTES
    with memoryview(mapped) as view:
        stored = bytes(view[attributes_end : form.HEADER_BYTES])
        computed = form.checksum(
            view[: form.HEADER.size],
            view[form.HEADER.size : attributes_end],
            view[header.table_at :],
        )
    return header if computed == stored else None
