"""Streams of plain bytes, and what they leave open."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import threading

import pytest

from snapfs.digest import sha256
from snapfs.errors import UnavailableError
from snapfs.image.descriptor import Descriptor
from snapfs.image.verified import MemoryReader
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


def test_a_stream_that_is_left_early_leaves_no_thread() -> None:
    # More than all threads hold ahead, so that each waits for the next one.
    content = random.Random(1).randbytes(48 << 20)
    stored = gzip.compress(content, 0)
    before = threading.active_count()

    with PlainStream(
        MemoryReader(stored),
        Descriptor("", sha256(stored), len(stored)),
        sha256(content),
        Limits(),
        "layer",
    ) as stream:
        assert content.startswith(stream.read_block())

    assert threading.active_count() == before


# Memory is a process's, and what other tests freed is there already.
FAULTS = """
import resource
from snapfs.digest import sha256
from snapfs.image.descriptor import Descriptor
from snapfs.image.verified import MemoryReader
from snapfs.layer.limits import Limits
from snapfs.unpack.plain_stream import PlainStream

with PlainStream(
    MemoryReader(bytes(1024)),
    Descriptor("", sha256(bytes(1024)), 1024),
    None,
    Limits(),
    "layer",
):
    pass
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [b"x" * (1 << 20) for _ in range(16)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_memory_of_blocks_is_kept_for_the_next_ones() -> None:
    found = subprocess.run(
        [sys.executable, "-c", FAULTS], check=True, capture_output=True
    )

    pages = (16 << 20) // os.sysconf("SC_PAGESIZE")
    assert int(found.stdout) < pages // 4
