"""Extension headers and sparse maps that contradict themselves, or never end."""

from __future__ import annotations

from typing import Final

from snapfs.errors import DataLossError
from support import tar_blocks
from support.hostile_layers import Attack, Piece, contained, file, refused
from support.tar_blocks import GNU, header, padded, pax, raw_pax, record


def _damaged(name: str, *pieces: Piece | bytes, says: str, **more: object) -> Attack:
    return refused(name, *pieces, error=DataLossError, says=says, **more)


def _old_sparse(pairs: list[tuple[int, int]], real: int, body: bytes) -> bytes:
    """Return a GNU sparse file with its map in the header."""
    fields = b"".join(b"%011o\0%011o\0" % pair for pair in pairs).ljust(96, b"\0")
    tail = fields + b"\0" + b"%011o\0" % real + bytes(17)
    return header(b"s", b"S", size=len(body), magic=GNU, tail=tail) + padded(body)


def _sparse(
    name: str, real: bytes, *more: tuple[bytes, bytes], body: bytes = b""
) -> Attack:
    records = ((b"GNU.sparse.realsize", real), *more)
    return _damaged(name, file(b"s", body, pax=records), says="header at byte 0")


_MAP: Final = b"GNU.sparse.map"
_BLOCKS: Final = b"GNU.sparse.numblocks"
_VERSION_1: Final = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))

_EXTENSIONS: Final = (
    _damaged("PAX length 0", raw_pax(b"0 path=x\n"), file(b"x"), says="byte 0"),
    _damaged(
        "PAX length beyond the end", raw_pax(b"99 path=x\n"), file(b"x"), says="byte 0"
    ),
    _damaged(
        "PAX length of 10^20",
        raw_pax(b"1" + b"0" * 20 + b" path=x\n"),
        file(b"x"),
        says="byte 0",
    ),
    _damaged("negative PAX length", raw_pax(b"-9 path=x\n"), file(b"x"), says="byte 0"),
    _damaged("PAX without a length", raw_pax(b"path=x\n"), file(b"x"), says="byte 0"),
    _damaged("PAX without a newline", raw_pax(b"9 path=xy"), file(b"x"), says="byte 0"),
    _damaged(
        "PAX without an equals sign", raw_pax(b"8 pathx\n"), file(b"x"), says="byte 0"
    ),
    _damaged(
        "PAX with a tail",
        raw_pax(record(b"path", b"y") + b"\0\0"),
        file(b"x"),
        says="byte 0",
    ),
    refused("PAX of 1 GiB", header(b"P", b"x", size=1 << 30), says="byte 0"),
    refused("long name of 1 GiB", header(b"L", b"L", size=1 << 30), says="byte 0"),
    refused("long link of 1 GiB", header(b"K", b"K", size=1 << 30), says="byte 0"),
    refused("global PAX of 1 GiB", header(b"g", b"g", size=1 << 30), says="byte 0"),
    _damaged(
        "two PAX headers",
        pax((b"path", b"a")),
        pax((b"path", b"b")),
        file(b"x"),
        says="byte 0",
    ),
    _damaged("PAX header and no member", pax((b"path", b"a")), says="byte 0"),
    _damaged(
        "long name and no member",
        tar_blocks.member(b"L", b"name\0", b"L"),
        says="byte 0",
    ),
    contained(
        "global PAX with path and size is ignored",
        pax((b"path", b"../evil"), (b"size", b"4096"), (b"linkpath", b"/"), flag=b"g"),
        file(b"x", b"in"),
        file(b"y", b"in"),
        shows={"x": "file in", "y": "file in"},
    ),
    _damaged(
        "global PAX between PAX and its member",
        pax((b"path", b"a")),
        pax((b"path", b"b"), flag=b"g"),
        file(b"x"),
        says="byte 0",
    ),
    contained(
        "last PAX path counts",
        raw_pax(record(b"path", b"../../evil") + record(b"path", b"fine")),
        header(b"x", size=2) + padded(b"in"),
        shows={"fine": "file in"},
    ),
    contained(
        "PAX before a long name",
        tar_blocks.member(b"L", b"../../evil\0", b"L"),
        pax((b"path", b"fine")),
        header(b"x", size=2) + padded(b"in"),
        shows={"fine": "file in"},
    ),
    refused(
        "long name that leads out",
        tar_blocks.member(b"L", b"../../evil\0", b"L"),
        header(b"x"),
        says="'../../evil'",
    ),
    refused(
        "prefix that leads out",
        header(b"x", prefix=b"../.."),
        says="'../../x'",
    ),
)

_SPARSE: Final = (
    _sparse(
        "sparse map that overlaps",
        b"100",
        (_MAP, b"0,60,50,40"),
        (_BLOCKS, b"2"),
        body=bytes(100),
    ),
    _sparse(
        "sparse map that goes back",
        b"100",
        (_MAP, b"50,10,0,10"),
        (_BLOCKS, b"2"),
        body=bytes(20),
    ),
    _sparse(
        "sparse map beyond the file",
        b"10",
        (_MAP, b"0,20"),
        (_BLOCKS, b"1"),
        body=bytes(20),
    ),
    _sparse(
        "sparse map of more than the body",
        b"100",
        (_MAP, b"0,60"),
        (_BLOCKS, b"1"),
        body=bytes(20),
    ),
    _sparse(
        "sparse map with a negative offset",
        b"100",
        (_MAP, b"-1,2"),
        (_BLOCKS, b"1"),
        body=bytes(2),
    ),
    _sparse(
        "sparse map with odd numbers",
        b"100",
        (_MAP, b"1,2,3"),
        (_BLOCKS, b"1"),
        body=bytes(2),
    ),
    _sparse(
        "sparse map of 10^9 that is not there",
        b"100",
        *_VERSION_1,
        body=b"1000000000\n".ljust(512, b"\0"),
    ),
    _sparse(
        "sparse format of the future",
        b"1",
        (b"GNU.sparse.major", b"9"),
        (b"GNU.sparse.minor", b"9"),
    ),
    refused(
        "sparse map without an end",
        file(
            b"s",
            b"1000000000\n" + b"1\n" * (1 << 20),
            pax=((b"GNU.sparse.realsize", b"9"), *_VERSION_1),
        ),
        says="byte 0",
    ),
    _damaged(
        "old sparse map that overlaps",
        _old_sparse([(0, 8), (4, 8)], 64, bytes(16)),
        says="'s'",
    ),
    _damaged(
        "old sparse map beyond the file",
        _old_sparse([(60, 8)], 64, bytes(8)),
        says="'s'",
    ),
    contained(
        "sparse file's name that leads out is refused by its own rule",
        file(
            b"s",
            b"in",
            pax=(
                (b"GNU.sparse.name", b"fine"),
                (b"GNU.sparse.size", b"2"),
                (_MAP, b"0,2"),
                (_BLOCKS, b"1"),
            ),
        ),
        shows={"fine": "file in"},
    ),
    refused(
        "sparse file's name that leads out",
        file(
            b"s",
            b"in",
            pax=(
                (b"GNU.sparse.name", b"@UP/x"),
                (b"GNU.sparse.size", b"2"),
                (_MAP, b"0,2"),
                (_BLOCKS, b"1"),
            ),
        ),
        says="'..'",
    ),
)

EXTENSIONS: Final[tuple[Attack, ...]] = (*_EXTENSIONS, *_SPARSE)
