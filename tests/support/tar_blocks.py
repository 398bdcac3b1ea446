"""Tars built block by block, right or wrong; and a reader of all their members."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

from snapfs.tar import Member, TarReader

EXTENSION_BYTES = 1 << 20

POSIX = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = bytes(8)

END = bytes(1024)


def header(
    name: bytes = b"file",
    flag: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    link: bytes = b"",
    magic: bytes = POSIX,
    device: bytes = bytes(16),
    prefix: bytes = b"",
    tail: bytes = b"",
    signed: bool = False,
) -> bytes:
    """Return one header block with a right checksum; ``tail`` ends the block."""
    if isinstance(size, bytes):
        size_field = size
    elif size < 8**11:
        size_field = b"%011o\0" % size
    else:
        size_field = b"\x80" + size.to_bytes(11, "big")
    parts = (
        (name, 100),
        (mode, 8),
        (uid, 8),
        (gid, 8),
        (size_field, 12),
        (mtime, 12),
        (b" " * 8, 8),
        (flag, 1),
        (link, 100),
        (magic, 8),
        (b"", 64),
        (device, 16),
        (prefix, 155),
        (b"", 12),
    )
    block = b"".join(part.ljust(length, b"\0") for part, length in parts)
    assert len(block) == 512
    return with_checksum(block[: 512 - len(tail)] + tail, signed=signed)


def with_checksum(block: bytes, *, signed: bool = False) -> bytes:
    """Return a header block with its checksum made right."""
    block = block[:148] + b" " * 8 + block[156:]
    total = sum(block)
    if signed:
        total -= 256 * sum(byte > 127 for byte in block)
    return block[:148] + b"%06o\0 " % total + block[156:]


def padded(body: bytes) -> bytes:
    """Return ``body`` filled up to whole blocks."""
    return body + bytes(-len(body) % 512)


def member(name: bytes = b"file", body: bytes = b"", flag: bytes = b"0") -> bytes:
    """Return the header and the body of a plain member."""
    return header(name, flag, size=len(body)) + padded(body)


def record(keyword: bytes, value: bytes) -> bytes:
    """Return one PAX record."""
    rest = b" " + keyword + b"=" + value + b"\n"
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def pax(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    """Return an extended header of these records."""
    return raw_pax(b"".join(record(*pair) for pair in records), flag)


def raw_pax(body: bytes, flag: bytes = b"x") -> bytes:
    """Return an extended header with any body."""
    return member(b"PaxHeaders/file", body, flag)


def blocks_of(plain: bytes, size: int = 1 << 20) -> Callable[[], bytes]:
    """Return a ``read_block`` over ``plain``."""
    stream = io.BytesIO(plain)
    return lambda: stream.read(size)


def reader_of(
    plain: bytes, *, block_bytes: int = 1 << 20, extension_bytes: int = EXTENSION_BYTES
) -> TarReader:
    """Return a reader over ``plain``, which arrives in blocks of some size."""
    return TarReader(blocks_of(plain, block_bytes), extension_bytes=extension_bytes)


def walk(reader: TarReader) -> Iterator[tuple[Member, bytes]]:
    """Yield each member with its body."""
    while (found := reader.next_member()) is not None:
        yield found, b"".join(reader.read_body())


def members_of(plain: bytes, block_bytes: int = 1 << 20) -> list[tuple[Member, bytes]]:
    """Return all members with their bodies."""
    return list(walk(reader_of(plain, block_bytes=block_bytes)))


def only_member(plain: bytes) -> Member:
    """Return the single member of a tar that lacks only its end."""
    ((found, _),) = members_of(plain + END)
    return found


def filled(found: Member, body: bytes) -> bytes:
    """Return the content of the file, holes filled in; for small files."""
    if found.sparse is None:
        return body
    content = bytearray(found.size_bytes)
    at = 0
    for offset, length in found.sparse:
        content[offset : offset + length] = body[at : at + length]
        at += length
    return bytes(content)
