r"""The sidecar of a snapshot: its metadata beside its data.

Each numbered directory holds a ``snapshot.log`` from which a lost database can be
rebuilt. It is a text file of one record a line, the last intact line counts::

    <crc32 of the JSON, 8 hex digits> <JSON object>\n

padded with NUL bytes to a multiple of 4,096. A change appends a line in place: the
bytes before it are rewritten unchanged, so a torn write leaves the line before it
intact, and since the blocks exist already, fdatasync(2) needs no journal commit.
Where the padding is used up, the file is replaced by one that holds only the new
line.
"""

from __future__ import annotations

import functools
import os
import zlib

from snapfs.errors import DataLossError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.model import Durability, Kind, Owner
from snapfs.state.fsio import replace_file, settle_with_next_sync, write_all
from snapfs.state.paths import SIDECAR_NAME
from snapfs.values import dataclass

if TYPE_CHECKING:
    from msgspec.json import Decoder, Encoder

SIDECAR_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class SidecarRecord:
    """What a sidecar says; the row of the database says the same.

    Attributes:
        generation: Grows by one with every change of the snapshot.
        snapshot_id: The number of the directory.
        layer_id: Whose ``fs`` holds the content; mostly ``snapshot_id`` itself.
        key: The key of an active snapshot or view, the name of a committed one.
        parent: The name of the parent; "" for none.
        parent_id: The parent's ``snapshot_id``; 0 for none.
        index_generation: Of the directory index of the layer; 0 where there is none.
        uid_map: How users are stored in the content; "" where nothing is mapped, which
            is left out of the file, as in all sidecars of older versions.
        gid_map: How groups are; likewise.
    """

    generation: int
    snapshot_id: int
    layer_id: int
    key: str
    parent: str
    parent_id: int
    kind: Kind
    owner: Owner
    labels: dict[str, str]
    created_ns: int
    updated_ns: int
    driver: str
    xattr_prefix: str
    root_opaque: bool
    durability: Durability
    index_generation: int = 0
    uid_map: str = ""
    gid_map: str = ""


@functools.cache
def _encoder() -> Encoder:
    from msgspec.json import Encoder  # here: who only reads a store writes none

    return Encoder()


@functools.cache
def _decoder() -> Decoder[SidecarRecord]:
    from msgspec.json import Decoder

    return Decoder(SidecarRecord)


def create_sidecar(directory_fd: int, record: SidecarRecord) -> None:
    """Make the sidecar in the directory, with ``record``, on disk on return."""
    descriptor = _create(directory_fd, _padded(_line(record)))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_unsynced_sidecar(directory_fd: int, record: SidecarRecord) -> None:
    """Make the sidecar in the directory, with ``record``; the caller syncs it."""
    os.close(_create(directory_fd, _padded(_line(record))))


def create_blank_sidecar(directory_fd: int) -> int:
    """Make a sidecar without a record; return it open, for the caller to sync.

    Its blocks are on their way to the disk already, so that they are allocated by
    the time that the first of several sidecars is synced.
    """
    descriptor = _create(directory_fd, bytes(SIDECAR_BLOCK))
    # Starts the write-back and does not wait (mm/fadvise.c).
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return descriptor


def fill_sidecar(directory: str, record: SidecarRecord) -> bool:
    """Write ``record`` into the blank sidecar in ``directory``.

    It is on disk after the next sync on its filesystem: that of the row.

    Returns:
        Whether it fits: where it does not, nothing has been written.
    """
    line = _line(record)
    if len(line) > SIDECAR_BLOCK // 2:  # the rest is for later records
        return False
    path = os.path.join(directory, SIDECAR_NAME)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_all(descriptor, line, 0)
        settle_with_next_sync(descriptor)
    finally:
        os.close(descriptor)
    return True


def append_sidecar(directory: str, record: SidecarRecord) -> None:
    """Add ``record`` to the sidecar in ``directory``.

    It is on disk after the next sync on its filesystem: that of the row. A sidecar
    that is missing or holds no intact line is made anew.
    """
    path = os.path.join(directory, SIDECAR_NAME)
    line = _line(record)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        replace_file(path, _padded(line))
        return
    try:
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        end = _end_of_lines(content)
        # A line that has lost its own end counts until this one is whole.
        is_cut = end and content[end - 1 : end] != b"\n"
        addition = b"\n" + line if is_cut else line
        if end + len(addition) <= len(content):
            write_all(descriptor, addition, end)
            settle_with_next_sync(descriptor)
            return
    finally:
        os.close(descriptor)
    replace_file(path, _padded(line))


def read_sidecar(directory: str) -> SidecarRecord:
    """Return the last intact record of the sidecar in ``directory``.

    Raises:
        DataLossError: There is no sidecar or no intact record.
    """
    return _last_record(directory, _content(directory))


def sidecar_says(directory: str, record: SidecarRecord) -> bool:
    """Tell whether :func:`read_sidecar` would return ``record``, for less work.

    Raises:
        DataLossError: As :func:`read_sidecar`.
    """
    content = _content(directory)
    line = _line(record)
    text = content.rstrip(b"\0")
    # Where the file ends with that very line, there is nothing to parse.
    if text.endswith(line) and text[-len(line) - 1 : -len(line)] in (b"", b"\n"):
        return True
    return _last_record(directory, content) == record


def _content(directory: str) -> bytes:
    path = os.path.join(directory, SIDECAR_NAME)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataLossError(f"{path} cannot be read: {error.strerror}") from error


def _last_record(directory: str, content: bytes) -> SidecarRecord:
    for line in reversed(content.rstrip(b"\0").split(b"\n")):
        record = _parse(line)
        if record is not None:
            return record
    path = os.path.join(directory, SIDECAR_NAME)
    raise DataLossError(f"{path} holds no intact record")


def _create(directory_fd: int, content: bytes) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(SIDECAR_NAME, flags, 0o600, dir_fd=directory_fd)
    try:
        write_all(descriptor, content, 0)
    except BaseException:
        os.close(descriptor)
        os.unlink(SIDECAR_NAME, dir_fd=directory_fd)
        raise
    return descriptor


def _line(record: SidecarRecord) -> bytes:
    names = type(record).__match_args__
    document = {name: getattr(record, name) for name in names}
    for name in ("uid_map", "gid_map"):
        if not document[name]:
            del document[name]
    text = _encoder().encode(document)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _padded(line: bytes) -> bytes:
    # At least half a block stays free for the records of a commit and a relabel.
    blocks = (len(line) + SIDECAR_BLOCK // 2) // SIDECAR_BLOCK + 1
    return line.ljust(blocks * SIDECAR_BLOCK, b"\0")


def _end_of_lines(content: bytes) -> int:
    """Return where the next line goes: after the last intact line.

    That may lack its newline, which can be the first byte of a sector that was never
    written. A torn line at the end is overwritten; what remains of it behind a shorter
    new line cannot have a valid checksum, since its beginning is gone. A damaged line
    in the middle is left: the lines after it must not come after the new one.
    """
    end = content.rfind(b"\n") + 1
    last = content[end:].rstrip(b"\0")
    if _intact_text(last) is not None:
        return end + len(last)
    while end:
        start = content.rfind(b"\n", 0, end - 1) + 1
        if _intact_text(content[start : end - 1]) is not None:
            break
        end = start
    return end


def _intact_text(line: bytes) -> bytes | None:
    checksum, _, text = line.partition(b" ")
    return text if checksum == b"%08x" % zlib.crc32(text) else None


def _parse(line: bytes) -> SidecarRecord | None:
    text = _intact_text(line)
    try:
        return None if text is None else _decoder().decode(text)
    except ValueError:  # msgspec.MsgspecError, without msgspec
        return None
