"""PAX records: a strict grammar, and what each keyword overrides."""

from __future__ import annotations

import pytest

from snapfs.errors import DataLossError
from snapfs.tar import MemberKind
from snapfs.tar.numbers import pax_time
from support.tar_blocks import (
    END,
    header,
    member,
    members_of,
    only_member,
    padded,
    pax,
    raw_pax,
    reader_of,
    walk,
)


def test_records_override_the_header() -> None:
    found = only_member(
        pax(
            (b"path", b"a/very\nodd\xffname"),
            (b"linkpath", b"target"),
            (b"uid", b"3000000000"),
            (b"gid", b"7"),
            (b"mtime", b"1.000000001"),
            (b"comment", b"ignored"),
        )
        + header(flag=b"2", link=b"short")
    )

    assert (found.name, found.link_name) == (b"a/very\nodd\xffname", b"target")
    assert (found.uid, found.gid, found.mtime_ns) == (3_000_000_000, 7, 1_000_000_001)


def test_of_the_same_keyword_the_last_record_wins() -> None:
    found = only_member(pax((b"path", b"one"), (b"path", b"two")) + header())

    assert found.name == b"two"


def test_records_win_over_long_names_in_any_order() -> None:
    long_name = member(b"", b"long", b"L")
    records = pax((b"path", b"pax"))

    assert only_member(long_name + records + header()).name == b"pax"
    assert only_member(records + long_name + header()).name == b"pax"


@pytest.mark.parametrize("header_size", [0, 1024, 2048])
def test_the_pax_size_says_where_the_next_header_is(header_size: int) -> None:
    # CVE-2025-62518: skipping by the header's size finds the smuggled member.
    body = member(b"smuggled") + member(b"more")
    plain = (
        pax((b"size", b"1024"))
        + header(b"outer", size=header_size)
        + padded(body)
        + member(b"after")
    )

    found = members_of(plain + END)

    assert [each.name for each, _ in found] == [b"outer", b"after"]
    assert found[0][1] == body


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"0 a=b\n", id="length-0"),
        pytest.param(b"00000000000 a=b\n", id="length-of-many-digits"),
        pytest.param(b"2 a=b\n", id="length-within-itself"),
        pytest.param(b"5 a=b\n", id="length-too-short"),
        pytest.param(b"7 a=b\n", id="length-past-the-end"),
        pytest.param(b"99999999999999999999 a=b\n", id="length-huge"),
        pytest.param(b"-6 a=b\n", id="length-negative"),
        pytest.param(b"+6 a=b\n", id="length-with-a-sign"),
        pytest.param(b" 6 a=b\n", id="space-before"),
        pytest.param(b"6 a=bX", id="no-newline"),
        pytest.param(b"5 ab\n", id="no-equals"),
        pytest.param(b"5 =b\n", id="no-keyword"),
        pytest.param(b"6 a=b\n\0", id="nul-after"),
        pytest.param(b"9 path=a\0\n"[:-1] + b"\n", id="path-with-length-off"),
        pytest.param(b"10 path=a\0\n"[:-1] + b"\n", id="path-with-nul"),
        pytest.param(b"7 a\0=b\n", id="keyword-with-nul"),
        pytest.param(b"nonsense", id="nonsense"),
    ],
)
def test_a_record_that_breaks_the_grammar_is_refused(body: bytes) -> None:
    with pytest.raises(DataLossError, match="PAX record"):
        members_of(raw_pax(body) + header() + END)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        (b"size", b"-1"),
        (b"size", b"1.5"),
        (b"size", b"9223372036854775808"),
        (b"size", b"9" * 5000),
        (b"uid", b"-1"),
        (b"uid", b"4294967295"),
        (b"gid", b"0x10"),
        (b"mtime", b"now"),
        (b"mtime", b"1e9"),
        (b"mtime", b"9" * 5000),
        (b"SCHILY.xattr.", b"nameless"),
        (b"LIBARCHIVE.xattr.user.a", b"*not base64*"),
        (b"LIBARCHIVE.xattr.user.a", b"A"),
        (b"LIBARCHIVE.xattr.user%2", b"QQ"),
        (b"LIBARCHIVE.xattr.user%00", b"QQ"),
    ],
)
def test_a_value_that_its_keyword_cannot_have_is_refused(
    keyword: bytes, value: bytes
) -> None:
    with pytest.raises(DataLossError, match="'file'"):
        members_of(pax((keyword, value)) + header() + END)


def test_empty_values_leave_the_headers_field() -> None:
    found = only_member(
        pax((b"path", b""), (b"size", b""), (b"mtime", b"")) + header(uid=b"5\0")
    )

    assert (found.name, found.uid) == (b"file", 5)


def test_xattrs_are_raw_bytes_and_libarchives_form_yields_to_them() -> None:
    raw = bytes(range(256))
    found = only_member(
        pax(
            (b"SCHILY.xattr.user.raw", raw),
            (b"SCHILY.xattr.user.empty", b""),
            (b"LIBARCHIVE.xattr.user.raw", b"QQ"),
            (b"LIBARCHIVE.xattr.user.%C3%A9t%3D", b"QUJD"),
            (b"LIBARCHIVE.xattr.user.short", b"QQ"),
            (b"LIBARCHIVE.xattr.user.padded", b"QQ=="),
        )
        + header()
    )

    assert found.xattrs == {
        b"user.raw": raw,
        b"user.empty": b"",
        "user.ét=".encode(): b"ABC",
        b"user.short": b"A",
        b"user.padded": b"A",
    }


def test_acls_as_text_are_ignored_with_a_warning() -> None:
    reader = reader_of(
        pax((b"SCHILY.acl.access", b"user::rwx,user:8:r--")) + header() + END
    )

    ((found, _),) = walk(reader)

    assert found.xattrs == {}
    assert "SCHILY.acl" in reader.warnings[0]


def test_stars_device_numbers_override_those_of_device_nodes_only() -> None:
    numbers = pax((b"SCHILY.devmajor", b"259"), (b"SCHILY.devminor", b"1048575"))

    node = only_member(numbers + header(flag=b"4"))
    file = only_member(numbers + header())

    assert (node.kind, node.device) == (MemberKind.BLOCK_DEVICE, (259, 1048575))
    assert file.device == (0, 0)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"0", 0),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1.", 1_000_000_000),
        (b"1.1", 1_100_000_000),
        (b"1.0000000019", 1_000_000_001),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"-0.0000000001", -1),
        (b"-1.0000000000", -1_000_000_000),
        (b"99999999999999999999", 2**63 - 1),
        (b"-99999999999999999999", -(2**63)),
    ],
)
def test_times_are_exact_rounded_down_and_bounded(text: bytes, ns: int) -> None:
    assert pax_time(text) == ns
