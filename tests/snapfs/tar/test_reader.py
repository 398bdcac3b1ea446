"""Members of each dialect, built block by block, read in blocks of any size."""

from __future__ import annotations

import pytest

from snapfs.errors import DataLossError, UnsafeLayerError
from snapfs.tar import Member, MemberKind, TarReader
from support.tar_blocks import (
    END,
    GNU,
    V7,
    header,
    member,
    members_of,
    only_member,
    padded,
    pax,
    reader_of,
    walk,
)


def taken(reader: TarReader) -> bytes:
    body = reader.take_body()
    assert body is not None
    return bytes(body)


def test_a_ustar_member_has_every_field() -> None:
    plain = header(
        b"file",
        size=3,
        mode=b"0004755\0",
        uid=b"0001750\0",
        gid=b"0000144\0",
        mtime=b"14371573632\0",
        prefix=b"usr/bin",
    ) + padded(b"abc")

    assert members_of(plain + END) == [
        (
            Member(
                name=b"usr/bin/file",
                kind=MemberKind.FILE,
                mode=0o4755,
                uid=1000,
                gid=100,
                size_bytes=3,
                stored_bytes=3,
                mtime_ns=0o14371573632 * 10**9,
                link_name=b"",
                device=(0, 0),
                xattrs={},
                sparse=None,
                header_offset=0,
                data_offset=512,
            ),
            b"abc",
        )
    ]


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (b"0", MemberKind.FILE),
        (b"\0", MemberKind.FILE),
        (b"7", MemberKind.FILE),
        (b"1", MemberKind.HARDLINK),
        (b"2", MemberKind.SYMLINK),
        (b"3", MemberKind.CHARACTER_DEVICE),
        (b"4", MemberKind.BLOCK_DEVICE),
        (b"5", MemberKind.DIRECTORY),
        (b"D", MemberKind.DIRECTORY),
        (b"6", MemberKind.FIFO),
    ],
)
def test_each_type_makes_its_kind(flag: bytes, kind: MemberKind) -> None:
    assert only_member(header(flag=flag)).kind is kind


@pytest.mark.parametrize("flag", [b"8", b"A", b"N", b"X", b"\xff", b"M"])
def test_an_unknown_type_is_refused_by_name(flag: bytes) -> None:
    with pytest.raises(DataLossError, match=r"'file' .*type"):
        members_of(header(flag=flag) + END)


def test_links_and_devices_have_what_only_they_have() -> None:
    link = only_member(header(flag=b"2", link=b"to/there"))
    node = only_member(header(flag=b"3", device=b"0000010\x000000003\0"))

    assert link.link_name == b"to/there"
    assert node.device == (8, 3)


def test_a_device_number_that_linux_would_cut_is_refused() -> None:
    with pytest.raises(DataLossError, match="device major number 4096"):
        only_member(header(flag=b"3", device=b"0010000\x000000003\0"))


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_only_files_have_a_body_whatever_the_size_says(flag: bytes) -> None:
    plain = pax((b"size", b"512")) + header(flag=flag, size=512) + member(b"next")

    first, second = members_of(plain + END)

    assert (first[0].size_bytes, first[0].stored_bytes) == (0, 0)
    assert second[0].name == b"next"


@pytest.mark.parametrize(
    ("flag", "magic", "kind"),
    [
        pytest.param(b"0", V7, MemberKind.DIRECTORY, id="v7"),
        pytest.param(b"\0", V7, MemberKind.DIRECTORY, id="v7-nul"),
        pytest.param(b"\0", GNU, MemberKind.DIRECTORY, id="gnu-nul"),
        pytest.param(b"0", GNU, MemberKind.FILE, id="gnu"),
    ],
)
def test_a_trailing_slash_means_a_directory_in_old_headers(
    flag: bytes, magic: bytes, kind: MemberKind
) -> None:
    assert only_member(header(b"d/", flag, magic=magic)).kind is kind


def test_the_prefix_counts_only_where_the_dialect_has_one() -> None:
    star = header(prefix=b"p".ljust(131, b"q") + b"1" * 12, tail=b"tar\0")
    times = b"14371573632\x0014371573632\0"

    assert only_member(header(prefix=b"p", magic=V7)).name == b"file"
    assert only_member(header(prefix=times, magic=GNU)).name == b"file"
    assert only_member(star).name == b"p" + b"q" * 130 + b"/file"
    assert only_member(header(prefix=b"from/go17", magic=GNU)).name == b"from/go17/file"


def test_long_names_apply_to_the_next_member_only() -> None:
    name, target = b"n" * 300, b"t" * 300
    plain = (
        member(b"././@LongLink", target + b"\0", b"K")
        + member(b"././@LongLink", name + b"\0junk", b"L")
        + header(b"n" * 100, b"2", link=b"t" * 100, magic=GNU)
        + member(b"plain")
    )

    (first, _), (second, _) = members_of(plain + END)

    assert (first.name, first.link_name) == (name, target)
    assert (first.header_offset, second.name) == (0, b"plain")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"\x80" + bytes(6) + b"\x07", 7),
        (b"\x80" + bytes(3) + b"\x00\xff\xff\xff", 0xFFFFFF),
        (b"     7 \0", 7),
        (b"\0\0\0", 0),
        (b"7\0rubbish", 7),
        (b"00000007", 7),
    ],
)
def test_numbers_are_octal_or_base_256(field: bytes, value: int) -> None:
    assert only_member(header(uid=field[:8])).uid == value


@pytest.mark.parametrize(
    "fields",
    [
        {"size": b"\xff" * 12},
        {"size": b"\x80" + b"\x7f" * 11},
        {"size": b"-0000000001\0"},
        {"size": b"0o17\0"},
        {"size": b"1_7\0"},
        {"size": b"1 7\0"},
        {"size": b"888\0"},
        {"uid": b"\xff" * 8},
        {"gid": b"\x80\0\0\0\xff\xff\xff\xff"},
        {"mode": b"rwxr-xr\0"},
    ],
)
def test_a_number_that_is_none_or_out_of_range_is_refused(
    fields: dict[str, bytes],
) -> None:
    with pytest.raises(DataLossError, match="'file'"):
        members_of(header(**fields) + END)  # type: ignore[arg-type]  # by name


def test_a_mode_with_file_type_bits_is_cut_to_permissions() -> None:
    assert only_member(header(mode=b"0100755\0")).mode == 0o755


def test_a_time_before_1970_is_negative_and_a_far_one_is_bounded() -> None:
    before = only_member(header(mtime=b"\xff" * 12))
    far = only_member(header(mtime=b"\x80" + b"\x7f" * 11))

    assert before.mtime_ns == -(10**9)
    assert far.mtime_ns == 2**63 - 1


def test_names_that_are_not_utf_8_stay_as_bytes_with_either_checksum() -> None:
    name = b"\xff\xfe caf\xe9" + b"\xf0" * 80

    assert only_member(header(name)).name == name
    assert only_member(header(name, signed=True)).name == name


def test_a_wrong_checksum_is_found_even_65521_away() -> None:
    block = header(b"\xff" * 100, link=b"\xff" * 100, prefix=b"\xff" * 155)
    total = int(block[148:154], 8)
    assert total > 65521
    wrong = block[:148] + b"%06o\0 " % (total - 65521) + block[156:]

    with pytest.raises(DataLossError, match="checksum"):
        members_of(wrong + END)


def test_something_else_than_a_tar_is_called_so() -> None:
    with pytest.raises(DataLossError, match="not a tar"):
        members_of(b"#!/bin/sh\n".ljust(512, b"x"))


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(END, id="two-zero-blocks"),
        pytest.param(bytes(10240), id="record"),
        pytest.param(bytes(512), id="one-zero-block"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_an_archive_ends_in_four_ways(end: bytes) -> None:
    reader = reader_of(member(b"a", b"x" * 700) + end)

    names = [found.name for found, _ in walk(reader)]

    assert names == [b"a"]
    assert reader.next_member() is None
    assert not reader.drain()
    assert reader.position == 1536 + len(end)


def test_an_empty_stream_is_an_empty_archive() -> None:
    assert members_of(b"") == []


def test_a_zero_block_in_the_middle_is_refused_again_and_again() -> None:
    reader = reader_of(member(b"a") + bytes(512) + member(b"b") + END)
    assert reader.next_member()

    for _ in range(2):
        with pytest.raises(DataLossError, match="zero block"):
            reader.next_member()


def test_what_follows_the_end_is_read_and_reported() -> None:
    plain = member(b"a") + END + member(b"smuggled") + END
    reader = reader_of(plain, block_bytes=700)

    assert [found.name for found, _ in walk(reader)] == [b"a"]
    assert reader.drain()
    assert reader.position == len(plain)


@pytest.mark.parametrize("length", [1, 511, 513, 1000, 1023, 1100])
def test_an_archive_that_is_cut_short_is_refused(length: int) -> None:
    plain = member(b"a", b"x" * 600)

    with pytest.raises(DataLossError):
        members_of(plain[:length])


def test_a_body_that_is_cut_short_names_its_member() -> None:
    plain = header(b"big", size=2**62) + b"only this"

    for take in (False, True):
        reader = reader_of(plain)
        reader.next_member()
        if take:
            assert reader.take_body() is None
        with pytest.raises(DataLossError, match=r"'big'.*cut short"):
            list(reader.read_body())
    reader = reader_of(plain)
    reader.next_member()
    with pytest.raises(DataLossError, match="cut short"):
        reader.next_member()


@pytest.mark.parametrize("block_bytes", [1, 7, 511, 512, 513, 4096])
def test_the_size_of_blocks_makes_no_difference(block_bytes: int) -> None:
    plain = (
        member(b"a", b"a" * 1000)
        + pax((b"path", b"long" * 100), (b"mtime", b"1.5"))
        + member(b"b", bytes(range(256)) * 9)
        + member(b"", b"x" * 300 + b"\0", b"L")
        + header(flag=b"5")
    ) + END

    assert members_of(plain, block_bytes) == members_of(plain)


def test_a_body_in_the_buffer_is_taken_whole_and_without_a_copy() -> None:
    plain = member(b"a", b"x" * 900) + END
    reader = reader_of(plain)
    reader.next_member()

    body = reader.take_body()

    assert body is not None
    assert body == b"x" * 900
    assert body.readonly
    assert len(body.obj) == len(plain)  # type: ignore[arg-type]  # the block itself
    assert taken(reader) == b""
    assert list(reader.read_body()) == []


def test_a_small_body_across_blocks_is_joined_and_a_large_one_comes_in_pieces() -> None:
    small, large = b"s" * 5000, b"l" * (3 << 20)
    reader = reader_of(
        member(b"a", small) + member(b"b", large) + END, block_bytes=4096
    )

    reader.next_member()
    assert taken(reader) == small
    reader.next_member()
    assert reader.take_body() is None
    pieces = list(reader.read_body())
    assert max(map(len, pieces)) <= 4096
    assert b"".join(pieces) == large


def test_a_body_that_was_left_half_read_is_skipped() -> None:
    plain = member(b"a", b"x" * 9000) + member(b"b", b"y") + END
    reader = reader_of(plain, block_bytes=1000)
    reader.next_member()
    pieces = reader.read_body()
    next(pieces)

    second = reader.next_member()

    assert second is not None
    assert second.name == b"b"
    assert list(pieces) == []
    assert taken(reader) == b"y"


@pytest.mark.parametrize("flag", [b"x", b"L", b"K", b"g"])
def test_a_huge_extension_is_refused_before_it_is_read(flag: bytes) -> None:
    reader = reader_of(header(flag=flag, size=1 << 30) + bytes(4096))

    with pytest.raises(UnsafeLayerError, match="1073741824"):
        reader.next_member()
    assert reader.position == 512


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(pax((b"a", b"b")) * 2 + member(), id="two-pax"),
        pytest.param(member(b"", b"n", b"L") * 2 + member(), id="two-long-names"),
        pytest.param(pax((b"a", b"b")), id="nothing-after"),
        pytest.param(pax((b"a", b"b")) + END, id="end-after"),
        pytest.param(
            pax((b"a", b"b")) + pax((b"a", b"b"), flag=b"g") + member(), id="global"
        ),
        pytest.param(pax((b"a", b"b")) + member(flag=b"V"), id="volume"),
    ],
)
def test_an_extension_without_its_member_is_refused(plain: bytes) -> None:
    with pytest.raises(DataLossError):
        members_of(plain)


def test_global_headers_and_volume_labels_are_ignored_with_one_warning() -> None:
    label = header(b"label", b"V", magic=GNU)
    extra = pax((b"path", b"evil"), (b"size", b"9"), flag=b"g")
    reader = reader_of(label + extra + member(b"a", b"xy") + extra + member(b"b"))

    found = list(walk(reader))

    assert [(each.name, body) for each, body in found] == [(b"a", b"xy"), (b"b", b"")]
    assert len(reader.warnings) == 2
    assert "global PAX header ignored ('path', 'size')" in reader.warnings[1]
    assert found[0][0].header_offset == 512 * 3
