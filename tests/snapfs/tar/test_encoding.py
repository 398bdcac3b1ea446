"""Headers that we write, read by our reader, by Python's and by GNU tar."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import FailedPreconditionError
from snapfs.tar import MemberKind
from snapfs.tar.encoding import END_OF_ARCHIVE, TarEntry, encode_header, padding
from support.tar_blocks import members_of, only_member

# What a path can be: no NUL, no slash at its ends.
parts = st.binary(min_size=1, max_size=255).map(
    lambda part: part.replace(b"\0", b"0").replace(b"/", b"1")
)
paths = st.lists(parts, min_size=1, max_size=6).map(b"/".join)
xattr_names = st.binary(min_size=1, max_size=40).map(
    lambda name: b"user." + name.replace(b"\0", b"=")
)
numbers = st.integers(0, 2**32 - 2)

BIG = 2**33 + 12


def written(*entries: TarEntry) -> bytes:
    return b"".join(map(encode_header, entries)) + END_OF_ARCHIVE


@given(
    name=paths,
    kind=st.sampled_from(MemberKind),
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    link=paths,
    device=st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)),
    xattrs=st.dictionaries(xattr_names, st.binary(max_size=80), max_size=5),
)
def test_our_reader_reads_what_was_written(
    name: bytes,
    kind: MemberKind,
    mode: int,
    uid: int,
    gid: int,
    mtime_ns: int,
    link: bytes,
    device: tuple[int, int],
    xattrs: dict[bytes, bytes],
) -> None:
    has_link = kind in (MemberKind.SYMLINK, MemberKind.HARDLINK)
    has_device = kind in (MemberKind.CHARACTER_DEVICE, MemberKind.BLOCK_DEVICE)
    entry = TarEntry(
        name + b"/" if kind is MemberKind.DIRECTORY else name,
        kind,
        mode,
        uid,
        gid,
        0,
        mtime_ns,
        link if has_link else b"",
        device if has_device else (0, 0),
        xattrs,
    )

    found = only_member(encode_header(entry))

    assert (found.name, found.kind, found.mode) == (entry.name, kind, mode)
    assert (found.uid, found.gid) == (uid, gid)
    assert found.mtime_ns == mtime_ns
    assert (found.link_name, found.device) == (entry.link_name, entry.device)
    assert dict(found.xattrs) == xattrs


@given(
    name=paths.map(lambda name: name.decode("utf-8", "replace")),
    uid=numbers,
    mtime_s=st.integers(-(2**40), 2**40),
    size=st.integers(0, 2**40),
)
def test_pythons_reader_reads_what_was_written(
    name: str, uid: int, mtime_s: int, size: int
) -> None:
    entry = TarEntry(
        name.encode(), MemberKind.FILE, 0o644, uid, uid, size, mtime_s * 10**9
    )

    with tarfile.open(fileobj=io.BytesIO(written(entry))) as archive:
        found = archive.next()

    assert found is not None
    assert (found.name, found.uid, found.gid) == (name.rstrip("/"), uid, uid)
    assert (found.mtime, found.size) == (mtime_s, size)


@pytest.mark.parametrize(
    ("entry", "is_plain"),
    [
        pytest.param(TarEntry(b"n" * 100, MemberKind.FILE), True, id="100 bytes"),
        pytest.param(TarEntry(b"n" * 101, MemberKind.FILE), False, id="101 bytes"),
        pytest.param(
            TarEntry(b"p" * 155 + b"/" + b"n" * 100, MemberKind.FILE), True, id="prefix"
        ),
        pytest.param(
            TarEntry(b"p" * 156 + b"/n", MemberKind.FILE), False, id="long prefix"
        ),
        pytest.param(
            TarEntry(b"d" * 101 + b"/", MemberKind.DIRECTORY),
            False,
            id="long directory",
        ),
        pytest.param(TarEntry("é".encode(), MemberKind.FILE), False, id="utf-8"),
        pytest.param(TarEntry(b"\xe9", MemberKind.FILE), True, id="latin-1"),
        pytest.param(
            TarEntry(b"n", MemberKind.FILE, uid=2097151), True, id="largest octal uid"
        ),
        pytest.param(TarEntry(b"n", MemberKind.FILE, uid=2097152), False, id="uid"),
        pytest.param(TarEntry(b"n", MemberKind.FILE, gid=2**31), False, id="gid"),
        pytest.param(
            TarEntry(b"n", MemberKind.FILE, size_bytes=8**11 - 1), True, id="8 GiB - 1"
        ),
        pytest.param(
            TarEntry(b"n", MemberKind.FILE, size_bytes=8**11), False, id="8 GiB"
        ),
        pytest.param(
            TarEntry(b"n", MemberKind.FILE, mtime_ns=-1), False, id="before 1970"
        ),
        pytest.param(TarEntry(b"n", MemberKind.FILE, mtime_ns=1), False, id="ns"),
        pytest.param(
            TarEntry(b"n", MemberKind.SYMLINK, link_name=b"t" * 101), False, id="link"
        ),
        pytest.param(
            TarEntry(b"n", MemberKind.FILE, xattrs={b"user.a": b""}), False, id="xattr"
        ),
    ],
)
def test_extended_headers_stand_only_where_they_are_needed(
    entry: TarEntry, is_plain: bool
) -> None:
    header = encode_header(entry)

    assert (len(header) == 512) == is_plain
    assert header[257:265] == b"ustar\x0000"
    assert (
        only_member(header + (b"\0" * 512 if entry.size_bytes else b""))
        if (entry.size_bytes == 0)
        else True
    )


def test_a_size_is_the_same_in_both_headers() -> None:
    header = encode_header(TarEntry(b"big", MemberKind.FILE, size_bytes=BIG))

    own = header[-512:]
    assert b"size=%d\n" % BIG in header
    assert own[124:136] == b"\x80" + BIG.to_bytes(11, "big")


def test_records_are_sorted_whatever_order_they_come_in() -> None:
    names = [b"user.b", b"user.a", b"security.capability"]
    forward = {name: name for name in names}
    backward = {name: name for name in reversed(names)}

    headers = {
        encode_header(TarEntry(b"n" * 200, MemberKind.FILE, uid=2**30, xattrs=xattrs))
        for xattrs in (forward, backward)
    }

    (header,) = headers
    keys = [
        line.partition(b" ")[2].partition(b"=")[0]
        for line in header[512:-512].rstrip(b"\0").splitlines()
    ]
    assert keys == sorted(keys)
    assert b"uid" in keys


def test_device_fields_are_zero_and_owners_have_no_names() -> None:
    header = encode_header(TarEntry(b"file", MemberKind.FILE, uid=1, gid=1))

    assert header[265:329] == bytes(64)
    assert header[329:345] == b"0000000\0" * 2


@pytest.mark.parametrize(
    ("name", "key"),
    [
        pytest.param(b"user.a=b", b"user.a%3Db", id="equals"),
        pytest.param(b"user.a=%", b"user.a%3D%25", id="equals and percent"),
        pytest.param(b"user.a%3Db", b"user.a%253Db", id="looks escaped"),
        pytest.param(b"user.100%", b"user.100%", id="percent"),
    ],
)
def test_names_of_xattrs_are_escaped_only_where_a_reader_could_err(
    name: bytes, key: bytes
) -> None:
    header = encode_header(TarEntry(b"n", MemberKind.FILE, xattrs={name: b"v"}))

    assert b"SCHILY.xattr." + key + b"=v\n" in header
    assert dict(only_member(header).xattrs) == {name: b"v"}


def test_more_xattrs_than_a_reader_takes_are_refused() -> None:
    xattrs = {b"user.%d" % number: bytes(60_000) for number in range(20)}

    with pytest.raises(FailedPreconditionError, match="'a/b' takes a tar header of 12"):
        encode_header(TarEntry(b"a/b", MemberKind.FILE, xattrs=xattrs))


def test_gnu_tar_extracts_long_and_odd_names(tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs tar")
    names = [b"a" * 120, b"caf\xe9", "ü".encode(), b"d/" + b"\xff" * 130, b"new\nline"]
    body = b"content"
    data = b"".join(
        encode_header(TarEntry(name, MemberKind.FILE, 0o644, size_bytes=len(body)))
        + body
        + padding(len(body))
        for name in names
    )

    subprocess.run(
        ["tar", "-x", "-f", "-", "--no-same-owner"],
        cwd=tmp_path,
        input=data + END_OF_ARCHIVE,
        check=True,
        capture_output=True,
    )

    found = {
        path.relative_to(bytes_root).as_posix()
        for bytes_root in [tmp_path]
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {name.decode("utf-8", "surrogateescape") for name in names}


def test_padding_fills_whole_blocks() -> None:
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [
        0,
        511,
        1,
        0,
        511,
    ]
    assert members_of(written(TarEntry(b"a", MemberKind.FIFO)))[0][0].name == b"a"
