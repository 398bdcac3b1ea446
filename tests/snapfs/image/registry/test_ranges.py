"""Readers of ranges that another thread closes, whatever they are just doing."""

from __future__ import annotations

import contextlib
import sys
import threading
from types import FrameType
from typing import Any, cast

import pytest

from snapfs.digest import sha256
from snapfs.errors import UnavailableError
from snapfs.image.registry import ranges
from snapfs.image.registry.client import Client
from snapfs.image.registry.ranges import Blob, OpenedRange, RangeReader
from snapfs.image.registry.response import Response

_BLOB = Blob("team/app", sha256(b"never compared"), 1 << 20)
# More than the lines that a reader runs until it waits for the second piece.
_LINES = 60
_LONG_S = 30


class _SilentResponse:
    """One piece, then silence. As with a socket's buffer, closing waits for reads."""

    def __init__(self) -> None:
        self._buffer = threading.Lock()
        self._awake = threading.Event()
        self._pieces = [b"piece"]

    def read(self, _size_bytes: int) -> bytes:
        with self._buffer:
            if self._pieces:
                return self._pieces.pop()
            if not self._awake.wait(_LONG_S):
                pytest.fail("nobody woke the reader")
            raise UnavailableError("shut down")

    def abort(self) -> None:
        self._awake.set()

    def close(self) -> None:
        with self._buffer:
            pass


class _Opener:
    """Opens a silent answer; its host is never asked for anything."""

    blob = _BLOB

    def open_at(self, start: int, _end: int) -> OpenedRange:
        response = cast(Response, _SilentResponse())
        return OpenedRange(response, start, cast(Client, _Host()))

    def give_up(self, _host: Client) -> bool:
        return False


class _Host:
    host = "silent.test"
    transport = type("", (), {"attempts": 5})


def _read_all(reader: RangeReader) -> None:
    try:
        while reader.read(1 << 16):
            pass
    except UnavailableError:
        pass


@pytest.mark.parametrize("line", range(_LINES))
def test_a_reader_ends_at_whatever_line_it_is_closed(line: int) -> None:
    reader = RangeReader(_Opener(), 0, _BLOB.size_bytes)
    closer = threading.Thread(target=reader.close, daemon=True)
    left = line

    def close() -> None:
        with contextlib.suppress(RuntimeError):  # it is closed already
            closer.start()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        nonlocal left
        if frame.f_code.co_filename != ranges.__file__:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                close()
                closer.join(0.05)  # no longer: it may need what this thread holds
        return trace

    def read() -> None:
        sys.settrace(trace)
        _read_all(reader)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(0.2)
    close()  # at the latest while it waits for bytes

    thread.join(_LONG_S / 2)
    closer.join(_LONG_S / 2)
    assert not thread.is_alive()
    assert not closer.is_alive()


def test_a_closed_reader_asks_nobody() -> None:
    reader = RangeReader(_Opener(), 0, _BLOB.size_bytes)
    reader.close()

    with pytest.raises(UnavailableError, match="closed"):
        reader.read(1)
