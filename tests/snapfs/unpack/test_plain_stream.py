"""Streams of plain bytes, and what they leave open."""

from __future__ import annotations

import pytest

from snapfs.digest import sha256
from snapfs.errors import UnavailableError
from snapfs.image.descriptor import Descriptor
from snapfs.layer.limits import Limits
from snapfs.unpack.plain_stream import PlainStream


class Broken:
    """A blob whose host is gone."""

    is_closed = False

    def read(self, size_bytes: int, /) -> bytes:
        raise UnavailableError("gone")

    def close(self) -> None:
        self.is_closed = True


def test_a_blob_that_cannot_be_read_at_all_is_closed() -> None:
    blob = Broken()

    with pytest.raises(UnavailableError, match="gone"):
        PlainStream(blob, Descriptor("", sha256(b""), 1), None, Limits(), "layer")

    assert blob.is_closed
