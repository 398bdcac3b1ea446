"""Blobs written on several threads: the same bytes, the right digests, all errors."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from snapfs.compression import Compression, open_plain
from snapfs.compression.blob_writer import BlobWriter, WrittenBlob
from snapfs.compression.choosing import make_compressor
from snapfs.compression.compressor import PLAIN_BLOCK_BYTES, WINDOW_BYTES
from snapfs.compression.deflate import GzipCompressor

FORMS = [
    pytest.param(form, fast, id=f"{form}{' fast' if fast else ''}")
    for form in Compression
    for fast in ((False, True) if form is Compression.GZIP else (False,))
]


def some_text(size: int, seed: int = 1) -> bytes:
    """Return bytes that compress about as well as programs do."""
    source = random.Random(seed)
    words = [source.randbytes(source.randrange(2, 12)) for _ in range(500)]
    pieces: list[bytes] = []
    length = 0
    while length < size:
        pieces.append(source.choice(words))
        length += len(pieces[-1])
    return b"".join(pieces)[:size]


TEXT = some_text(5 * PLAIN_BLOCK_BYTES + 4711)


def stored(
    form: Compression, fast: bool, threads: int, feed: Callable[[BlobWriter], None]
) -> tuple[bytes, WrittenBlob]:
    out = io.BytesIO()
    with BlobWriter(out.write, make_compressor(form, fast=fast), threads) as writer:
        feed(writer)
        written = writer.finish()
    return out.getvalue(), written


def plain_of(data: bytes) -> bytes:
    reader = open_plain(io.BytesIO(data), zstd_window_bytes=1 << 27)
    return b"".join(iter(reader.read_block, b""))


@pytest.mark.parametrize(("form", "fast"), FORMS)
@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        PLAIN_BLOCK_BYTES - 1,
        PLAIN_BLOCK_BYTES,
        PLAIN_BLOCK_BYTES + 1,
        2 * PLAIN_BLOCK_BYTES,
        len(TEXT),
    ],
)
def test_what_was_written_is_read_again_and_digests_are_right(
    form: Compression, fast: bool, size: int
) -> None:
    plain = TEXT[:size]

    data, written = stored(form, fast, 2, lambda writer: writer.write(plain))

    assert plain_of(data) == plain
    assert written.digest.hex == hashlib.sha256(data).hexdigest()
    assert written.diff_id.hex == hashlib.sha256(plain).hexdigest()
    assert (written.size_bytes, written.plain_bytes) == (len(data), size)


@pytest.mark.parametrize(("form", "fast"), FORMS)
def test_threads_and_pieces_do_not_change_the_bytes(
    form: Compression, fast: bool
) -> None:
    def feed(seed: int) -> Callable[[BlobWriter], None]:
        source = random.Random(seed)

        def run(writer: BlobWriter) -> None:
            at = 0
            while at < len(TEXT):
                size = source.choice((1, 512, 70_000, 3 * PLAIN_BLOCK_BYTES))
                writer.write(TEXT[at : at + size])
                at += size

        return run

    found = {stored(form, fast, threads, feed(threads))[0] for threads in (1, 2, 3, 8)}

    assert len(found) == 1


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 2 * PLAIN_BLOCK_BYTES)),
            st.tuples(st.just("zeros"), st.integers(0, 2 * PLAIN_BLOCK_BYTES)),
        ),
        max_size=6,
    )
)
def test_data_and_zeros_come_out_in_their_order(steps: list[tuple[str, int]]) -> None:
    expected = b"".join(
        TEXT[:size] if what == "write" else bytes(size) for what, size in steps
    )

    def feed(writer: BlobWriter) -> None:
        for what, size in steps:
            if what == "write":
                writer.write(TEXT[:size])
            else:
                writer.write_zeros(size)
        assert writer.plain_bytes == len(expected)

    data, _ = stored(Compression.NONE, False, 2, feed)

    assert data == expected


def test_files_are_read_into_the_blob_as_far_as_they_go(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(TEXT)
    sizes: list[int] = []

    def feed(writer: BlobWriter) -> None:
        writer.write(b"head")
        with file.open("rb", buffering=0) as opened:
            sizes.append(writer.read_from(opened.fileno(), len(TEXT) - 10))
            sizes.append(writer.read_from(opened.fileno(), 100))

    data, _ = stored(Compression.NONE, False, 1, feed)

    assert data == b"head" + TEXT
    assert sizes == [len(TEXT) - 10, 10]


@pytest.mark.parametrize("fast", [False, True])
def test_gzip_is_one_member_that_other_programs_read(
    tmp_path: Path, fast: bool
) -> None:
    data, _ = stored(Compression.GZIP, fast, 3, lambda writer: writer.write(TEXT))

    assert data[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"
    assert gzip.decompress(data) == TEXT
    if shutil.which("gzip"):
        done = subprocess.run(
            ["gzip", "-dc"], input=data, capture_output=True, check=True
        )
        assert done.stdout == TEXT
        assert not done.stderr


def test_blocks_cost_little_beyond_one_stream_of_zlib() -> None:
    data, _ = stored(Compression.GZIP, False, 2, lambda writer: writer.write(TEXT))

    assert len(data) < 1.02 * len(gzip.compress(TEXT, 6))


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("tail", [0, 1])
def test_blocks_of_zeros_are_stored_as_if_each_were_compressed(
    fast: bool, tail: int
) -> None:
    zeros = 6 * PLAIN_BLOCK_BYTES
    plain = bytes(zeros) + TEXT[:100_000] + bytes(zeros + tail)

    data, _ = stored(Compression.GZIP, fast, 2, lambda writer: writer.write(plain))

    assert plain_of(data) == plain
    compressor = make_compressor(Compression.GZIP, fast=fast)
    assert isinstance(compressor, GzipCompressor)
    parts = [compressor.begin()]
    before = b""
    for at in range(0, len(plain), PLAIN_BLOCK_BYTES):
        block = memoryview(plain)[at : at + PLAIN_BLOCK_BYTES]
        is_last = at + PLAIN_BLOCK_BYTES >= len(plain)
        # A new one each time remembers nothing.
        single = make_compressor(Compression.GZIP, fast=fast)
        parts.append(single.block(block, before, is_last=is_last))
        compressor.passed(block)
        before = bytes(block[-WINDOW_BYTES:])
    assert b"".join(parts) + compressor.end() == data


def test_zstd_frames_have_neither_checksum_nor_size() -> None:
    data, _ = stored(Compression.ZSTD, False, 2, lambda writer: writer.write(TEXT))

    parameters = zstandard.get_frame_parameters(data)
    assert not parameters.has_checksum
    assert parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN


@pytest.mark.parametrize(
    ("form", "fast", "start"),
    [
        (Compression.NONE, False, "none"),
        (Compression.GZIP, False, "zlib/1."),
        (Compression.ZSTD, False, "zstd/1."),
        (Compression.LZ4, False, "lz4/"),
    ],
)
def test_the_compressor_is_named_with_its_version(
    form: Compression, fast: bool, start: str
) -> None:
    _, written = stored(form, fast, 1, lambda writer: writer.write(b"x"))

    assert written.compressor.startswith(start)


@pytest.mark.parametrize("blocks", [0, 40])
def test_an_error_of_the_output_reaches_the_caller(blocks: int) -> None:
    calls = iter(range(1_000))

    def fail(_: bytes) -> None:
        if next(calls) >= 1:  # the header passes
            raise OSError(28, "No space left on device")

    def write() -> None:
        with BlobWriter(fail, make_compressor(Compression.GZIP), 2) as writer:
            for _ in range(blocks):
                writer.write(bytes(PLAIN_BLOCK_BYTES))
            writer.finish()

    before = threading.active_count()
    with pytest.raises(OSError, match="No space left"):
        write()

    assert threading.active_count() == before


def test_leaving_early_ends_all_threads() -> None:
    before = threading.active_count()
    out = io.BytesIO()

    with BlobWriter(out.write, make_compressor(Compression.GZIP), 4) as writer:
        for _ in range(20):
            writer.write(os.urandom(PLAIN_BLOCK_BYTES))

    assert threading.active_count() == before
