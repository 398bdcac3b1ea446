"""Writing ``dirindex``: one walk over a layer that is complete, and its listing.

A walk, and not the writer's own knowledge: only when all is settled are link counts,
times and blocks what they will be, and implied directories what lower layers say.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final
from zlib import crc32

from snapfs.errors import ResourceExhaustedError
from snapfs.layer import dirindex_format as form
from snapfs.layer.dirindex_format import DirectoryFlag, EntryFlag
from snapfs.overlay_format import OPAQUE, XattrPrefix, is_whiteout, is_xattr_whiteout

# Listing must not change what is listed; only the owner and root may ask for that,
# and nobody else can be writing a layer.
_OPEN_DIRECTORY: Final = (
    os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME | os.O_CLOEXEC
)
_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE: Final = 0o600
_BUFFER_BYTES: Final = 1 << 20

# One descriptor a level is held. A deeper layer gets no index: it works without.
_DEPTH: Final = 256
_NS: Final = 1_000_000_000
_PACK: Final = form.ENTRY.pack

_DISK_IS_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def write_dirindex(
    directory: int, root: int, prefix: XattrPrefix, generation: int = form.GENERATION
) -> bool:
    """Write the index of the layer in ``root`` as ``dirindex`` in ``directory``.

    Both are open directories; nothing may change below ``root`` any more. Nothing is
    synced: a torn index is found out by whoever opens it.

    Returns:
        Whether there is one. There is none for a layer that is too deep, has an
        attribute that the form cannot hold, or a directory that its owner, who is
        not root, may not read; nothing is left of it then.

    Raises:
        ResourceExhaustedError: The disk is full.
        OSError: As the filesystem says.
    """
    fd = os.open(form.FILE_NAME, _NEW_FILE, _PRIVATE, dir_fd=directory)
    try:
        with open(fd, "wb", _BUFFER_BYTES) as file:
            _Build(file, prefix).write(root, generation)
    except BaseException as error:
        os.unlink(form.FILE_NAME, dir_fd=directory)
        if isinstance(error, (_UnfitError, struct.error, PermissionError)):
            return False
        if isinstance(error, OSError) and error.errno in _DISK_IS_FULL:
            raise ResourceExhaustedError(
                f"the layer's directory index cannot be written: {error.strerror}"
            ) from error
        raise
    return True


class _UnfitError(Exception):
    """The layer is one that gets no index."""


@dataclass(slots=True)
class _Level:
    """A directory that is open, and those in it that are yet to be entered."""

    fd: int
    number: int
    children: list[tuple[bytes, int]]


class _Build:
    """One index on its way to the disk; only the table of directories is kept."""

    def __init__(self, file: BinaryIO, prefix: XattrPrefix) -> None:
        self._file = file
        self._prefix = prefix
        self._opaque = prefix.attribute(OPAQUE)
        # By number; each is filled in when the directory is entered.
        self._table: list[bytes] = [b""]
        self._entries = 0
        self._position = form.HEADER_BYTES

    def write(self, root: int, generation: int) -> None:
        """Walk below ``root`` and write it all; the header comes last."""
        self._file.write(bytes(form.HEADER_BYTES))
        self._walk(root)
        status = os.fstat(root)
        table = b"".join(self._table)
        self._file.write(table)
        header = form.Header(
            form.MAGIC,
            form.VERSION,
            form.BYTE_ORDER,
            generation,
            status.st_dev,
            status.st_ino,
            self._position + len(table),
            self._position,
            self._entries,
            len(self._table),
        )
        packed = form.HEADER.pack(*header)
        attributes = _entry(status, form.ROOT, 0, 0, 0)[: form.ATTRIBUTES_BYTES]
        self._file.seek(0)
        self._file.write(packed + attributes + form.checksum(packed, attributes, table))

    def _walk(self, root: int) -> None:
        levels: list[_Level] = []
        try:
            self._enter(levels, b".", form.ROOT, root, form.ROOT)
            while levels:
                level = levels[-1]
                if level.children:
                    name, number = level.children.pop()
                    self._enter(levels, name, number, level.fd, level.number)
                else:
                    os.close(levels.pop().fd)
        finally:
            for level in levels:
                os.close(level.fd)

    def _enter(
        self, levels: list[_Level], name: bytes, number: int, above: int, parent: int
    ) -> None:
        if len(levels) > _DEPTH:
            raise _UnfitError
        level = _Level(os.open(name, _OPEN_DIRECTORY, dir_fd=above), number, [])
        levels.append(level)
        level.children = self._write_block(level.fd, number, parent)

    def _write_block(
        self, fd: int, number: int, parent: int
    ) -> list[tuple[bytes, int]]:
        """Write the entries of one directory; return the directories among them."""
        names = sorted(map(os.fsencode, os.listdir(fd)))
        mark = self._mark_of(fd)
        children: list[tuple[bytes, int]] = []
        entries: list[bytes] = []
        flags = DirectoryFlag.OPAQUE if mark == b"y" else 0
        name_at = 0
        lstat, is_directory, is_device = os.lstat, stat.S_ISDIR, stat.S_ISCHR
        for name in names:
            status = lstat(name, dir_fd=fd)
            mode = status.st_mode
            child, entry_flags = form.NO_DIRECTORY, 0
            if is_directory(mode):
                child = len(self._table)
                children.append((name, child))
                self._table.append(b"")
            elif (is_device(mode) and is_whiteout(status)) or (
                mark == b"x" and self._is_marked(fd, name, status)
            ):
                entry_flags = EntryFlag.WHITEOUT.value
                flags |= DirectoryFlag.HOLDS_WHITEOUTS
            entries.append(_entry(status, child, name_at, len(name), entry_flags))
            name_at += len(name)
        self._finish_block(number, parent, flags, entries, b"".join(names))
        return children

    def _finish_block(
        self, number: int, parent: int, flags: int, entries: list[bytes], names: bytes
    ) -> None:
        block = b"".join(entries) + names
        self._table[number] = form.DIRECTORY.pack(
            self._position, len(entries), len(names), crc32(block), parent, flags
        )
        padding = -len(block) % form.ALIGNMENT
        self._file.write(block + bytes(padding))
        self._position += len(block) + padding
        self._entries += len(entries)

    def _mark_of(self, fd: int) -> bytes:
        try:
            return os.getxattr(fd, self._opaque)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.ENOTSUP):
                return b""  # ENOTSUP: a filesystem without xattrs has no marks
            raise

    def _is_marked(self, fd: int, name: bytes, status: os.stat_result) -> bool:
        return is_xattr_whiteout(
            b"/proc/self/fd/%d/%b" % (fd, name), status, self._prefix
        )


def _entry(
    status: os.stat_result, child: int, name_at: int, name_bytes: int, flags: int
) -> bytes:
    """Return one record; struct.error if a number does not fit."""
    mode = status.st_mode
    # By number: the named attributes of a stat_result take twice as long.
    _, ino, _, nlink, uid, gid, size, atime, mtime, ctime = status[:10]
    return _PACK(
        ino,
        size,
        status.st_blocks,
        atime,
        mtime,
        ctime,
        status.st_atime_ns % _NS,
        status.st_mtime_ns % _NS,
        status.st_ctime_ns % _NS,
        mode,
        nlink,
        uid,
        gid,
        status.st_rdev,
        status.st_blksize,
        0,
        child,
        name_at,
        name_bytes,
        mode >> 12,
        flags,
    )
