from __future__ import annotations

from types import TracebackType
from typing import Self

import pytest

from snapfs.digest import Digest, sha256
from snapfs.errors import DataLossError, DigestMismatchError, UnsafeLayerError
from snapfs.image.descriptor import Descriptor
from snapfs.image.source import BlobReader
from snapfs.image.verified import (
    MemoryReader,
    VerifiedReader,
    open_verified,
    read_document,
)

_CONTENT = bytes(range(256)) * 20


class _OneBlob:
    """A source that serves the same bytes whatever is asked for."""

    name = "memory"

    def __init__(self, content: bytes = _CONTENT) -> None:
        self.content = content
        self.opened = 0

    def root(self) -> Descriptor:
        return _descriptor()

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        del descriptor
        self.opened += 1
        return MemoryReader(self.content, offset)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _descriptor(content: bytes = _CONTENT, size_bytes: int | None = None) -> Descriptor:
    size_bytes = len(content) if size_bytes is None else size_bytes
    return Descriptor("text/plain", sha256(content), size_bytes)


@pytest.mark.parametrize("step", [1, 100, len(_CONTENT), 1 << 20])
def test_a_right_blob_passes_unchanged(step: int) -> None:
    reader = open_verified(_OneBlob(), _descriptor())

    pieces = []
    while piece := reader.read(step):
        pieces.append(piece)

    assert b"".join(pieces) == _CONTENT
    assert reader.is_verified
    assert reader.read(1) == b""


def test_an_empty_blob_is_verified_too() -> None:
    good = VerifiedReader(MemoryReader(b""), _descriptor(b""), "memory")
    bad = VerifiedReader(MemoryReader(b""), _descriptor(b"x", 0), "memory")

    assert good.read(10) == b""
    assert good.is_verified
    with pytest.raises(DigestMismatchError):
        bad.read(10)


def test_another_hash_of_the_registry_is_used() -> None:
    digest = Digest("sha512:" + "0" * 128)
    reader = VerifiedReader(MemoryReader(b"x"), Descriptor("", digest, 1), "memory")

    with pytest.raises(DigestMismatchError, match="sha512:"):
        reader.finish()


def test_a_change_of_the_last_byte_is_found_before_it_passes() -> None:
    changed = _CONTENT[:-1] + b"\0"
    reader = VerifiedReader(MemoryReader(changed), _descriptor(), "memory")
    passed = reader.read(len(_CONTENT) - 1)

    with pytest.raises(DigestMismatchError, match=f"memory: blob {sha256(_CONTENT)}"):
        reader.read(1)

    assert passed == changed[:-1]
    assert not reader.is_verified


def test_a_blob_one_byte_too_short_is_refused() -> None:
    reader = open_verified(_OneBlob(_CONTENT[:-1]), _descriptor())

    with pytest.raises(DataLossError, match="ends after 5119 of 5120 bytes"):
        reader.finish()


def test_a_blob_one_byte_too_long_is_refused_every_time() -> None:
    reader = open_verified(_OneBlob(_CONTENT + b"x"), _descriptor())

    for _ in range(3):
        with pytest.raises(DataLossError, match="longer than the 5120 bytes"):
            reader.finish()


def test_a_reader_that_gives_more_than_asked_for_is_refused() -> None:
    class Generous(MemoryReader):
        def read(self, size_bytes: int, /) -> bytes:
            return super().read(size_bytes + 1)

    reader = VerifiedReader(Generous(_CONTENT), _descriptor(size_bytes=100), "memory")

    with pytest.raises(DataLossError, match="longer"):
        reader.read(100)


def test_finishing_verifies_what_was_not_read() -> None:
    reader = open_verified(_OneBlob(), _descriptor())
    reader.read(7)

    reader.finish()

    assert reader.is_verified


def test_a_document_is_read_whole() -> None:
    assert read_document(_OneBlob(), _descriptor()) == _CONTENT


def test_a_document_above_the_limit_is_not_opened() -> None:
    source = _OneBlob()

    with pytest.raises(UnsafeLayerError, match="104857600 bytes; at most 4194304"):
        read_document(source, _descriptor(size_bytes=100 << 20))

    assert source.opened == 0


def test_embedded_data_is_used_and_verified() -> None:
    source = _OneBlob()
    good = Descriptor("", sha256(b"{}"), 2, data=b"{}")
    bad = Descriptor("", sha256(b"{}"), 2, data=b"[]")

    assert read_document(source, good) == b"{}"
    with pytest.raises(DigestMismatchError):
        read_document(source, bad)
    assert source.opened == 0
