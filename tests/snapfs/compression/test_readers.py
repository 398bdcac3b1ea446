"""Plain bytes from stored ones: each compression, whole, joined, damaged, hostile."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapfs.compression import Compression, PlainReader, detect, inflate, open_plain
from snapfs.compression.stored import StoredInput
from snapfs.compression.zlib_member import ZlibMember
from snapfs.errors import DataLossError, UnimplementedError, UnsafeLayerError

Compress = Callable[[bytes], bytes]

WINDOW_BYTES = 8 << 20
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"

# Compressible, but not to nothing; several output blocks long.
PLAIN = b"".join(
    random.Random(7).choice((b"layer", b"tar", b"\0" * 40)) * 3 for _ in range(60_000)
)


class Trickle:
    """A source that returns fewer bytes than asked for."""

    def __init__(self, stored: bytes, most: int) -> None:
        self._stream = io.BytesIO(stored)
        self._most = most

    def read(self, size_bytes: int, /) -> bytes:
        return self._stream.read(min(size_bytes, self._most))


def opened(stored: bytes, most: int = 1 << 20) -> PlainReader:
    return open_plain(Trickle(stored, most), zstd_window_bytes=WINDOW_BYTES)


def plain_of(stored: bytes, most: int = 1 << 20) -> bytes:
    reader = opened(stored, most)
    blocks = []
    while block := reader.read_block():
        assert len(block) <= (1 << 20) + (128 << 10)
        blocks.append(block)
    assert reader.read_block() == b""
    plain = b"".join(blocks)
    assert (reader.stored_bytes, reader.plain_bytes) == (len(stored), len(plain))
    return plain


def zstd(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(plain)


def lz4_frame(plain: bytes) -> bytes:
    return bytes(lz4.frame.compress(plain, content_checksum=True))


def gzipped(plain: bytes) -> bytes:
    return gzip.compress(plain, mtime=0)


FORMS = [
    pytest.param(gzipped, Compression.GZIP, id="gzip"),
    pytest.param(zstd, Compression.ZSTD, id="zstd"),
    pytest.param(lz4_frame, Compression.LZ4, id="lz4"),
]
COMPRESSED = pytest.mark.parametrize(("compress", "kind"), FORMS)


@COMPRESSED
@pytest.mark.parametrize("most", [1000, 1 << 20])
def test_plain_bytes_come_back_in_bounded_blocks(
    compress: Compress, kind: Compression, most: int
) -> None:
    stored = compress(PLAIN)

    assert opened(stored, most).compression is kind
    assert plain_of(stored, most) == PLAIN


@COMPRESSED
@pytest.mark.parametrize("most", [1, 1 << 20])
def test_many_frames_are_one_stream_in_worthwhile_blocks(
    compress: Compress, kind: Compression, most: int
) -> None:
    parts = [b"", b"a", b"", b"bc" * 3000, *[b"%d" % n for n in range(300)], b""]
    stored = b"".join(compress(part) for part in parts)

    assert plain_of(stored, most) == b"".join(parts)
    assert len(opened(stored, most).read_block()) == sum(map(len, parts))


@COMPRESSED
def test_a_stream_cut_anywhere_is_refused(
    compress: Compress, kind: Compression
) -> None:
    stored = compress(b"some content " * 50) + compress(b"more of it")
    whole = {0, len(compress(b"some content " * 50)), len(stored)}

    for cut in range(17, len(stored)):
        if cut not in whole:
            with pytest.raises(DataLossError):
                plain_of(stored[:cut])


@COMPRESSED
def test_a_wrong_checksum_is_refused(compress: Compress, kind: Compression) -> None:
    stored = bytearray(compress(PLAIN))
    stored[-5 if kind is Compression.GZIP else -1] ^= 1

    with pytest.raises(DataLossError, match="damaged"):
        plain_of(bytes(stored))


@COMPRESSED
@pytest.mark.parametrize("most", [1, 1 << 20])
@pytest.mark.parametrize("junk", [b"junk", b"\x1f", b"\x28\xb5", PLAIN[:3000]])
def test_something_else_after_the_last_frame_is_refused(
    compress: Compress, kind: Compression, junk: bytes, most: int
) -> None:
    with pytest.raises(DataLossError):
        plain_of(compress(b"content") + junk, most)


@COMPRESSED
def test_a_bomb_comes_in_bounded_blocks_and_can_be_left(
    compress: Compress, kind: Compression
) -> None:
    stored = compress(bytes(256 << 20))
    reader = opened(stored)

    for _ in range(5):
        assert 0 < len(reader.read_block()) <= (1 << 20) + (128 << 10)
    assert reader.plain_bytes <= 6 << 20
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read_block()


def test_zero_padding_after_the_last_gzip_member_is_nothing() -> None:
    assert plain_of(gzipped(b"a") + bytes(700_000)) == b"a"
    assert plain_of(gzipped(b"a") + bytes(3), most=1) == b"a"


def test_a_gzip_member_after_padding_is_refused() -> None:
    with pytest.raises(DataLossError, match="follows gzip member 1"):
        plain_of(gzipped(b"a") + bytes(512) + gzipped(b"b"))


def test_many_tiny_gzip_members_take_linear_time_and_memory() -> None:
    stored = gzipped(b"") * 20_000 + gzipped(b"end")

    assert plain_of(stored) == b"end"


def test_skippable_frames_are_skipped_wherever_they_are() -> None:
    long = b"\x5f\x2a\x4d\x18" + (600_000).to_bytes(4, "little") + bytes(600_000)

    assert plain_of(SKIPPABLE + zstd(b"a") + long + zstd(b"b") + SKIPPABLE) == b"ab"
    assert plain_of(lz4_frame(b"a") + SKIPPABLE + lz4_frame(b"b")) == b"ab"
    assert plain_of(SKIPPABLE) == b""


def test_a_zstd_window_beyond_the_limit_is_refused_before_decoding() -> None:
    # Window descriptor 0xA8: 2**(10 + 21) bytes.
    wide = b"\x28\xb5\x2f\xfd" + b"\x00\xa8" + b"\x01\x00\x00"
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    real = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    with pytest.raises(UnsafeLayerError, match="2147483648"):
        plain_of(wide)
    with pytest.raises(UnsafeLayerError, match="16777216"):
        plain_of(real.compress(PLAIN) + real.flush())


def test_a_zstd_frame_with_a_dictionary_is_refused() -> None:
    frame = b"\x28\xb5\x2f\xfd" + b"\x21\x07\x00" + b"\x01\x00\x00"

    with pytest.raises(UnimplementedError, match="dictionary"):
        plain_of(frame)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x07\x00\x00", id="reserved-type"),
        pytest.param(b"\xfd\xff\xff" + bytes(2 << 20), id="larger-than-a-block-may-be"),
        pytest.param(b"\xfb\xff\xff\x00", id="run-larger-than-a-block-may-be"),
    ],
)
def test_a_malformed_zstd_block_is_refused(block: bytes) -> None:
    with pytest.raises(DataLossError, match="malformed"):
        plain_of(b"\x28\xb5\x2f\xfd\x00\x58" + block)


@pytest.mark.parametrize("program", ["gzip", "zstd", "lz4"])
def test_what_the_usual_programs_write_is_read(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    stored = subprocess.run(
        [program, "-c"], input=PLAIN, check=True, capture_output=True
    ).stdout

    assert plain_of(stored) == PLAIN


def test_plain_content_passes_through() -> None:
    assert opened(PLAIN).compression is Compression.NONE
    assert plain_of(PLAIN, 5000) == PLAIN
    assert plain_of(b"") == b""


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        pytest.param(lzma.compress(b"a"), "xz", id="xz"),
        pytest.param(bz2.compress(b"a"), "bzip2", id="bz2"),
        pytest.param(bz2.compress(b""), "bzip2", id="empty-bz2"),
        pytest.param(b"\x02\x21\x4c\x18rest", "legacy", id="legacy-lz4"),
    ],
)
def test_other_compressions_are_refused_by_name(stored: bytes, name: str) -> None:
    with pytest.raises(UnimplementedError, match=name):
        opened(stored, most=1)


def test_a_file_name_that_looks_like_a_magic_stays_plain() -> None:
    assert detect(b"BZh9-notes.txt\0\0") is Compression.NONE
    assert detect(b"\x1f\x8bx") is Compression.NONE
    assert detect(b"") is Compression.NONE


def test_zlib_ng_does_the_same_where_isal_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as missing:
        missing.setitem(sys.modules, "isal.igzip_lib", None)
        importlib.reload(inflate)
    try:
        member = inflate.GzipReader(StoredInput(io.BytesIO(gzipped(PLAIN))))
        plain = b"".join(iter(member.read_block, b""))
        damaged = bytearray(gzipped(PLAIN))
        damaged[-5] ^= 1
        bad = inflate.GzipReader(StoredInput(io.BytesIO(bytes(damaged))))
        with pytest.raises(DataLossError, match="damaged"):
            b"".join(iter(bad.read_block, b""))
        assert isinstance(member._member, ZlibMember)
    finally:
        importlib.reload(inflate)
    assert plain == PLAIN


SMALL = b"abc" * 200 + bytes(range(256))


@given(
    st.sampled_from([gzipped, zstd, lz4_frame]),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_flipped_bytes_end_in_content_or_in_our_errors(
    compress: Compress, flips: list[tuple[int, int]]
) -> None:
    stored = bytearray(compress(SMALL) + compress(SMALL[::-1]))
    for position, value in flips:
        stored[position % len(stored)] = value

    try:
        plain = plain_of(bytes(stored))
    except (DataLossError, UnsafeLayerError, UnimplementedError):
        return
    assert len(plain) < 64 << 20


def test_the_counters_run_along_with_the_blocks() -> None:
    stored = zlib.compress(PLAIN, 1, 31)
    reader = opened(stored, 100)

    reader.read_block()

    assert 0 < reader.stored_bytes <= len(stored)
    assert reader.plain_bytes <= 1 << 20
