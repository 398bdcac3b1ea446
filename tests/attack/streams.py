"""Plain tars that contradict themselves, end early, or hide another."""

from __future__ import annotations

from typing import Final

from snapfs.errors import DataLossError
from support import tar_blocks
from support.hostile_layers import Attack, Piece, contained, file, refused, symlink
from support.tar_blocks import header, padded

_SMUGGLED: Final = header(b"smuggled", size=4) + padded(b"evil")
_HUGE: Final = (1 << 63) - 1


def _damaged(name: str, *pieces: Piece | bytes, says: str, **more: object) -> Attack:
    return refused(name, *pieces, error=DataLossError, says=says, **more)


_SIZES: Final = (
    _damaged("size of 2^63-1", Piece(b"x", body=b"in", size=_HUGE), says="'x'"),
    _damaged(
        "size of 2^63", header(b"x", size=b"\x80\0\0\0\x80" + bytes(7)), says="byte 0"
    ),
    _damaged("negative size", header(b"x", size=b"\xff" * 12), says="byte 0"),
    _damaged(
        "size that is no number", header(b"x", size=b"99999999999\0"), says="byte 0"
    ),
    contained(
        "PAX size more than the header's",
        file(b"x", padded(_SMUGGLED), size=0, pax=((b"size", b"1024"),)),
        shows={"x": "file of 1024 bytes"},
    ),
    contained(
        "PAX size less than the header's",
        file(b"x", b"in", size=4096, pax=((b"size", b"2"),)),
        file(b"y", b"in"),
        shows={"x": "file in", "y": "file in"},
    ),
    _damaged("negative PAX size", file(b"x", pax=((b"size", b"-1"),)), says="byte 0"),
    _damaged(
        "PAX size of 2^64",
        file(b"x", pax=((b"size", b"18446744073709551616"),)),
        says="byte 0",
    ),
    _damaged(
        "PAX size with a sign", file(b"x", pax=((b"size", b"+1"),)), says="byte 0"
    ),
    contained(
        "size of a directory hides nothing",
        Piece(b"d", b"5", mode=0o755, size=1024),
        file(b"f", b"in"),
        shows={"d": "directory", "f": "file in"},
    ),
    contained(
        "PAX size of a symlink hides nothing",
        symlink(b"l", b"t", pax=((b"size", b"1024"),)),
        file(b"f", b"in"),
        shows={"l": "symlink t", "f": "file in"},
    ),
)

_ENDS: Final = (
    _damaged("bad checksum", header(b"x")[:-1] + b"\1", says="byte 0"),
    _damaged(
        "bad checksum after an entry",
        file(b"f", b"in"),
        header(b"x")[:-1] + b"\1",
        says="byte 1024",
    ),
    _damaged(
        "header cut short",
        file(b"f", b"in"),
        header(b"x")[:300],
        ends=False,
        says="byte 1024",
    ),
    _damaged(
        "body cut short", header(b"x", size=4096) + bytes(1024), ends=False, says="'x'"
    ),
    _damaged(
        "PAX cut short",
        header(b"P", b"x", size=4096) + bytes(512),
        ends=False,
        says="byte 0",
    ),
    _damaged("no tar at all", b"<html>" + b"x" * 1000, says="not a tar"),
    _damaged("no tar, not even a block", b"evil", ends=False, says="byte 0"),
    _damaged(
        "zero block in the middle",
        file(b"f", b"in"),
        bytes(512),
        file(b"x", b"evil"),
        says="zero block",
    ),
    contained(
        "second tar after the end",
        file(b"f", b"in"),
        tar_blocks.END,
        file(b"x", b"evil"),
        file(b"../x", b"evil"),
        shows={"f": "file in"},
    ),
    contained(
        "junk after the end",
        file(b"f", b"in"),
        tar_blocks.END,
        b"junk" * 100,
        shows={"f": "file in"},
        ends=False,
    ),
    contained("no end", file(b"f", b"in"), shows={"f": "file in"}, ends=False),
    contained(
        "one zero block as the end",
        file(b"f", b"in"),
        bytes(512),
        shows={"f": "file in"},
        ends=False,
    ),
    contained("empty stream", shows={}, ends=False),
    contained(
        "duplicates",
        *(file(b"f", b"%d" % number) for number in range(100)),
        shows={"f": "file 99"},
    ),
)

STREAMS: Final[tuple[Attack, ...]] = (*_SIZES, *_ENDS)
