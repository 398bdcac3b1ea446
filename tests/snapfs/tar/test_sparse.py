"""Sparse maps in all four GNU forms, right and wrong."""

from __future__ import annotations

import pytest

from snapfs.errors import DataLossError, UnsafeLayerError
from support.tar_blocks import (
    END,
    GNU,
    filled,
    header,
    member,
    members_of,
    padded,
    pax,
    reader_of,
    with_checksum,
)

DATA = b"a" * 512 + b"b" * 100
EXTENTS = [(1024, 512), (4096, 100)]
REAL_SIZE = 10000


def old_entry(offset: int, length: int) -> bytes:
    return b"%011o\0%011o\0" % (offset, length)


def old_header(
    extents: list[tuple[int, int]], stored: int, real_size: int, *, more: bool = False
) -> bytes:
    block = header(flag=b"S", size=stored, magic=GNU)
    entries = b"".join(old_entry(*extent) for extent in extents).ljust(96, b"\0")
    tail = entries + bytes([more]) + b"%011o\0" % real_size
    return with_checksum((block[:386] + tail).ljust(512, b"\0"))


def old_block(extents: list[tuple[int, int]], *, more: bool = False) -> bytes:
    entries = b"".join(old_entry(*extent) for extent in extents).ljust(504, b"\0")
    return (entries + bytes([more])).ljust(512, b"\0")


def pairs_0_0(extents: list[tuple[int, int]]) -> list[tuple[bytes, bytes]]:
    records = []
    for offset, length in extents:
        records.append((b"GNU.sparse.offset", b"%d" % offset))
        records.append((b"GNU.sparse.numbytes", b"%d" % length))
    return records


def map_0_1(extents: list[tuple[int, int]]) -> list[tuple[bytes, bytes]]:
    return [(b"GNU.sparse.map", b",".join(b"%d,%d" % each for each in extents))]


def in_records(
    records: list[tuple[bytes, bytes]],
    *,
    count: int = len(EXTENTS),
    real_size: int = REAL_SIZE,
    data: bytes = DATA,
) -> bytes:
    return pax(
        (b"GNU.sparse.size", b"%d" % real_size),
        (b"GNU.sparse.numblocks", b"%d" % count),
        *records,
    ) + member(b"file", data)


def in_body(text: bytes, data: bytes = DATA, real_size: int = REAL_SIZE) -> bytes:
    return pax(
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.realsize", b"%d" % real_size),
    ) + member(b"GNUSparseFile.0/real", padded(text) + data)


FORMS = [
    pytest.param(old_header(EXTENTS, 612, REAL_SIZE) + padded(DATA), id="old"),
    pytest.param(in_records(pairs_0_0(EXTENTS)), id="0.0"),
    pytest.param(in_records(map_0_1(EXTENTS)), id="0.1"),
    pytest.param(in_body(b"2\n1024\n512\n4096\n100\n"), id="1.0"),
    pytest.param(
        old_header([*EXTENTS, (REAL_SIZE, 0)], 612, REAL_SIZE) + padded(DATA),
        id="old-with-an-empty-extent-at-the-end",
    ),
]


@pytest.mark.parametrize("plain", FORMS)
@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_a_map_tells_extents_and_sizes(plain: bytes, block_bytes: int) -> None:
    expected = bytes(1024) + b"a" * 512 + bytes(2560) + b"b" * 100
    (found, body), (after, _) = members_of(plain + member(b"after") + END, block_bytes)

    assert found.sparse == tuple(EXTENTS)
    assert (found.size_bytes, found.stored_bytes) == (REAL_SIZE, 612)
    assert filled(found, body) == expected.ljust(REAL_SIZE, b"\0")
    assert found.name in (b"file", b"real")
    assert plain[found.data_offset :].startswith(DATA)
    assert after.name == b"after"


def test_an_old_map_goes_on_in_further_blocks() -> None:
    extents = [(1024 * number, 1) for number in range(40)]
    plain = (
        old_header(extents[:4], 40, 1 << 20, more=True)
        + old_block(extents[4:25], more=True)
        + old_block(extents[25:])
        + padded(b"x" * 40)
    )

    ((found, body),) = members_of(plain + END)

    assert found.sparse == tuple(extents)
    assert body == b"x" * 40


def test_a_file_of_one_hole_has_an_empty_map() -> None:
    ((found, body),) = members_of(in_body(b"0\n", b"", 1 << 40) + END)

    assert (found.sparse, found.size_bytes, body) == ((), 1 << 40, b"")


@pytest.mark.parametrize(
    "extents",
    [
        pytest.param([(100, 300), (200, 312)], id="overlap"),
        pytest.param([(4096, 100), (1024, 512)], id="back"),
        pytest.param([(9999, 612)], id="past-the-end"),
        pytest.param([(0, 611)], id="less-than-the-body"),
        pytest.param([(0, 613)], id="more-than-the-body"),
        pytest.param([(2**62, 2**62), (2**62, 612)], id="huge"),
    ],
)
def test_a_map_that_contradicts_the_sizes_is_refused(
    extents: list[tuple[int, int]],
) -> None:
    text = b"%d\n" % len(extents) + b"".join(b"%d\n%d\n" % each for each in extents)
    forms = [
        in_body(text),
        in_records(pairs_0_0(extents), count=len(extents)),
        in_records(map_0_1(extents), count=len(extents)),
    ]
    if extents[0][0] < 8**11:
        forms.append(old_header(extents, 612, REAL_SIZE) + padded(DATA))

    for plain in forms:
        with pytest.raises(DataLossError, match="sparse map"):
            members_of(plain + END)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(in_records(pairs_0_0(EXTENTS), count=3), id="count"),
        pytest.param(in_records(pairs_0_0(EXTENTS)[1:]), id="half-a-pair"),
        pytest.param(in_records([(b"GNU.sparse.map", b"1,x,2,3")]), id="no-number"),
        pytest.param(in_records([(b"GNU.sparse.map", b"1,-2,2,3")]), id="negative"),
        pytest.param(in_body(b"x\n"), id="no-count"),
        pytest.param(in_body(b"99999999999999999999\n"), id="count-beyond-63-bits"),
        pytest.param(in_body(b"1000000000\n"), id="count-past-the-body"),
        pytest.param(in_body(b"2\n1\n\n3\n4\n"), id="empty-line"),
        pytest.param(
            pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + member(),
            id="unknown-version",
        ),
        pytest.param(
            pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"))
            + member(b"", b"0\n".ljust(512)),
            id="no-real-size",
        ),
        pytest.param(
            pax((b"GNU.sparse.map", b""), (b"GNU.sparse.numblocks", b"0"))
            + header(flag=b"5"),
            id="directory",
        ),
        pytest.param(
            pax((b"GNU.sparse.name", b"x")) + old_header([], 0, 0), id="two-formats"
        ),
        pytest.param(header(flag=b"S"), id="old-format-in-posix"),
        pytest.param(old_header([], 0, 0, more=True), id="old-cut-short"),
    ],
)
def test_a_malformed_map_is_refused(plain: bytes) -> None:
    with pytest.raises(DataLossError):
        members_of(plain)


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(
            old_header([], 0, 0, more=True) + old_block([], more=True) * 100, id="old"
        ),
        pytest.param(in_body(b"1" * 40000), id="1.0-without-an-end"),
        pytest.param(in_body(b"100000\n" + b"0\n" * 30000), id="1.0"),
    ],
)
def test_a_map_larger_than_allowed_is_refused_before_it_is_read(plain: bytes) -> None:
    reader = reader_of(plain, extension_bytes=16 << 10, block_bytes=4096)

    with pytest.raises(UnsafeLayerError, match="16384"):
        reader.next_member()
    assert reader.position < 20 << 10
