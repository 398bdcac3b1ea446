"""Any bytes end in members or in our errors, and in bounded time and memory."""

from __future__ import annotations

import io
import tarfile
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import Member
from support.tar_blocks import END, members_of

FORMATS: Final = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def mixed_archive() -> bytes:
    """Return an archive that uses every extension once."""
    parts = b""
    for form in FORMATS:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            for length in (5, 90, 140):
                info = tarfile.TarInfo("n" * length + "/" + "m" * 40)
                info.size = 700
                info.pax_headers = {"SCHILY.xattr.user.a": "value"}
                archive.addfile(info, io.BytesIO(b"x" * 700))
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, "t" * 99
            archive.addfile(link)
        parts += stream.getvalue().rstrip(b"\0")
        parts += bytes(-len(parts) % 512)
    return parts + END


MIXED: Final = mixed_archive()
positions = st.integers(0, len(MIXED) - 1)


def outcome(plain: bytes, block_bytes: int) -> tuple[list[tuple[Member, bytes]], str]:
    """Return the members and their bodies, or none and what was wrong."""
    try:
        return members_of(plain, block_bytes), ""
    except (DataLossError, UnsafeLayerError) as error:
        return [], str(error)


def read_within_bounds(plain: bytes) -> None:
    """Read ``plain``; only our errors may come of it, and no endless loop.

    Headers that lie in one block are read in another way than those that do not.
    """
    found, message = outcome(plain, 1000)
    assert outcome(plain, 100) == outcome(plain, len(plain) + 1) == (found, message)
    assert not message or "tar header at byte" in message
    assert len(found) <= len(plain) // 512
    for member, body in found:
        assert len(body) == member.stored_bytes <= len(plain)


@given(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_end_in_members_or_in_our_errors(
    flips: list[tuple[int, int]],
) -> None:
    plain = bytearray(MIXED)
    for position, value in flips:
        plain[position] = value

    read_within_bounds(bytes(plain))


def resummed(plain: bytearray) -> bytes:
    """Make the checksum of every block right that has a header's magic."""
    for at in range(0, len(plain) - 511, 512):
        block = plain[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            plain[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(plain)


@given(
    st.lists(
        st.tuples(positions, st.sampled_from(b"\0 0179=\n\xff\x80xgLKSDV\x01")),
        min_size=1,
        max_size=8,
    )
)
def test_flips_behind_right_checksums_end_in_members_or_in_our_errors(
    flips: list[tuple[int, int]],
) -> None:
    plain = bytearray(MIXED)
    for position, value in flips:
        plain[position] = value

    read_within_bounds(resummed(plain))


HEADER_FIELDS: Final = (0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 345, 482, 508)


@given(
    st.sampled_from(range(0, len(MIXED), 512)),
    st.sampled_from(HEADER_FIELDS),
    st.binary(min_size=1, max_size=24),
)
def test_any_bytes_in_a_header_field_end_in_members_or_in_our_errors(
    block: int, field: int, value: bytes
) -> None:
    plain = bytearray(MIXED)
    value = value[: 512 - field]
    plain[block + field : block + field + len(value)] = value

    read_within_bounds(resummed(plain))


@pytest.mark.parametrize("cut", range(0, len(MIXED), 211))
def test_an_archive_cut_anywhere_ends_in_members_or_in_our_errors(cut: int) -> None:
    read_within_bounds(MIXED[:cut])


def test_the_mixed_archive_is_whole() -> None:
    assert len(members_of(MIXED)) == 12
