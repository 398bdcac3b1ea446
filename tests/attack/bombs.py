"""Layers that are small to send and huge to keep; made as they are read.

Each is a source of stored bytes: a head once, a piece many times, a tail. So a bomb
of ten gigabytes is no larger than its parts, here and in the process that it hits.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from snapfs.layer.limits import Limits
from support.tar_blocks import END, GNU, header, pax, raw_pax, record

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Bomb:
    """One bomb.

    Attributes:
        stored: Yields what the blob holds.
        refusal: The name of the error's class, "" where it does no harm.
        says: What its message holds.
        disk_bytes: What it may occupy before it is stopped.
    """

    stored: Callable[[], Iterator[bytes]]
    refusal: str
    says: str
    disk_bytes: int = _MIB
    limits: Limits = field(default_factory=Limits)


def _repeated(
    head: bytes, piece: bytes, times: int, tail: bytes = b""
) -> Iterator[bytes]:
    yield head
    yield from itertools.repeat(piece, times)
    yield tail


def _deflated_zeros() -> bytes:
    """Return a gzip member of 16 MiB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(bytes(16 * _MIB)) + packer.flush()


def _gzip_bomb() -> Iterator[bytes]:
    """A file of ten gigabytes of zeros, in ten megabytes."""
    head = gzip.compress(header(b"zeros", size=10 << 30), mtime=0)
    return _repeated(head, _deflated_zeros(), 640, gzip.compress(END, mtime=0))


def _many_members() -> Iterator[bytes]:
    """An empty tar, after a hundred thousand gzip members of nothing."""
    empty = gzip.compress(b"", mtime=0)
    return _repeated(empty, empty * 1000, 100, gzip.compress(END, mtime=0))


_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def _zstd_window() -> Iterator[bytes]:
    """A frame that asks for a window of two gigabytes."""
    yield _ZSTD_MAGIC + b"\x00" + bytes([(31 - 10) << 3]) + bytes(_MIB)


def _zstd_block(size: int, kind: int, data: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data


def _zstd_bomb() -> Iterator[bytes]:
    """A file of ten gigabytes of zeros, four bytes for each 128 KiB."""
    first = header(b"zeros", size=10 << 30)
    head = _ZSTD_MAGIC + b"\x00" + bytes([(20 - 10) << 3])
    head += _zstd_block(len(first), 0, first)
    zeros = _zstd_block(128 << 10, 1, b"\0")
    return _repeated(head, zeros * 100, 820, _zstd_block(1024, 1, b"\0", last=True))


def _many_entries() -> Iterator[bytes]:
    """A hundred thousand empty files, each with a name of its own."""
    for first in range(0, 100_000, 100):
        yield b"".join(header(b"f%d" % n) for n in range(first, first + 100))
    yield END


def _one_name() -> Iterator[bytes]:
    """One empty file, fifty thousand times."""
    return _repeated(b"", header(b"f") * 100, 500, END)


def _deep_paths() -> Iterator[bytes]:
    """Each entry implies a thousand directories of its own."""
    for number in range(2000):
        path = b"%d/" % number + b"d/" * 1000 + b"f"
        yield pax((b"path", path)) + header(b"x")
    yield END


def _large_headers() -> Iterator[bytes]:
    """Extension headers just below the limit, one for each file."""
    one = raw_pax(record(b"comment", bytes(_MIB - 600))) + header(b"f")
    return _repeated(b"", one, 100, END)


def _claims(flag: bytes) -> Callable[[], Iterator[bytes]]:
    """Return an extension header of a gibibyte, which follows."""
    return lambda: _repeated(header(b"x", flag, size=1 << 30), bytes(_MIB), 64, END)


def _many_xattrs() -> Iterator[bytes]:
    """A hundred thousand extended attributes in all, new ones for each file."""
    for number in range(400):
        records = [(b"SCHILY.xattr.user.%d.%d" % (number, n), b"") for n in range(257)]
        yield pax(*records) + header(b"f%d" % number)


def _large_xattrs() -> Iterator[bytes]:
    """The same file over and over, with sixty kilobytes of attributes."""
    for number in range(800):
        value = b"%07d" % number * 9000
        yield pax((b"SCHILY.xattr.security.selinux", value)) + header(b"f")
    yield END


def _sparse_map() -> Iterator[bytes]:
    """An old sparse map of which each block says that another follows."""
    block = (b"00000000000\0" * 42 + b"\1").ljust(512, b"\0")
    tail = b"00000000000\0" * 8 + b"\1" + b"%011o\0" % (1 << 30) + bytes(17)
    head = header(b"s", b"S", magic=GNU, tail=tail)
    return _repeated(head, block * 1000, 40, END)


def _sparse_count() -> Iterator[bytes]:
    """A sparse map of a billion extents, in the body."""
    keys = (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")
    yield pax(*keys, (b"GNU.sparse.realsize", b"9"))
    yield header(b"s", size=4 << 30) + b"1000000000\n"
    yield from itertools.repeat(b"0\n" * (_MIB // 2), 64)


def _sparse_files() -> Iterator[bytes]:
    """A thousand files of a tebibyte each, all of it holes."""
    keys = (b"GNU.sparse.map", b""), (b"GNU.sparse.numblocks", b"0")
    for number in range(1000):
        yield pax(*keys, (b"GNU.sparse.realsize", b"%d" % (1 << 40)))
        yield header(b"s%d" % number)
    yield END


def _trailing_zeros() -> Iterator[bytes]:
    """A tar of nothing, and gigabytes of zeros after its end."""
    member = _deflated_zeros()
    return _repeated(gzip.compress(END, mtime=0), member, 640)


def _symlink_mazes() -> Iterator[bytes]:
    """Paths through forty links with long targets, again and again."""
    for number in range(39):
        target = b"./" * 1900 + b"l%d" % (number + 1)
        yield pax((b"linkpath", target)) + header(b"l%d" % number, b"2")
    for number in range(4000):
        yield header(b"l0/f%d" % number)
    yield END


_RATIO: Final = Limits(ratio_free_bytes=8 * _MIB, ratio=100)
_PLAIN: Final = Limits(plain_bytes=8 * _MIB)
_UNSAFE: Final = "UnsafeLayerError"

BOMBS: Final[dict[str, Bomb]] = {
    "gzip, by its ratio": Bomb(
        _gzip_bomb, _UNSAFE, "stored bytes grow", 24 * _MIB, _RATIO
    ),
    "gzip, by its size": Bomb(
        _gzip_bomb, _UNSAFE, "more than 8388608", 24 * _MIB, _PLAIN
    ),
    "zeros after the end": Bomb(
        _trailing_zeros, _UNSAFE, "stored bytes grow", _MIB, _RATIO
    ),
    "gzip members": Bomb(_many_members, "", ""),
    "zstd window": Bomb(_zstd_window, _UNSAFE, "window of 2147483648"),
    "zstd, by its ratio": Bomb(
        _zstd_bomb, _UNSAFE, "stored bytes grow", 24 * _MIB, _RATIO
    ),
    "entries": Bomb(
        _many_entries, _UNSAFE, "more than 10000", 4 * _MIB, Limits(entries=10_000)
    ),
    "one name": Bomb(_one_name, "", ""),
    "deep paths": Bomb(
        _deep_paths, _UNSAFE, "more than 10000", _MIB, Limits(entries=10_000)
    ),
    "large PAX headers": Bomb(_large_headers, "", ""),
    "PAX of 1 GiB": Bomb(_claims(b"x"), _UNSAFE, "1073741824"),
    "global PAX of 1 GiB": Bomb(_claims(b"g"), _UNSAFE, "1073741824"),
    "long name of 1 GiB": Bomb(_claims(b"L"), _UNSAFE, "1073741824"),
    "long link of 1 GiB": Bomb(_claims(b"K"), _UNSAFE, "1073741824"),
    "xattrs": Bomb(_many_xattrs, _UNSAFE, "257 extended attributes"),
    "large xattrs of one name": Bomb(_large_xattrs, "", ""),
    "old sparse map": Bomb(_sparse_map, _UNSAFE, "sparse map"),
    "sparse map's count": Bomb(_sparse_count, _UNSAFE, "sparse map"),
    "sparse files": Bomb(_sparse_files, "", "", 8 * _MIB),
    "mazes of symlinks": Bomb(_symlink_mazes, _UNSAFE, "symbolic links", 24 * _MIB),
}
