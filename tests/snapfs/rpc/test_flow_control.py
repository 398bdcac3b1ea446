"""Windows in both directions: who waits, and who must not."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.rpc import frames
from snapfs.rpc.calls import CallContext
from snapfs.rpc.connection import CONNECTION_WINDOW, STREAM_WINDOW
from snapfs.rpc.frames import ErrorCode, Setting
from support.rpc import UNARY, Wire, greeted, grpc_fields, message, serving
from support.sandbox import wait_until

DATA_OR_END = (frames.DATA, frames.HEADERS, frames.RST_STREAM, frames.PING)


class Endless:
    """A stream of responses without end, that tells when it was closed."""

    def __init__(self, item: bytes = b"x" * 100) -> None:
        self.item = item
        self.taken = 0
        self.closed = threading.Event()

    def __call__(self, request: bytes, _: CallContext) -> Iterator[bytes]:
        try:
            while True:
                self.taken += 1
                yield self.item
        finally:
            self.closed.set()


def size_of(request: bytes, _: CallContext) -> bytes:
    return b"%d" % len(request)


def read_data(wire: Wire, size: int) -> bytes:
    """Read exactly ``size`` bytes of DATA."""
    content = b""
    while len(content) < size:
        content += wire.read_kind(frames.DATA).payload
    assert len(content) == size
    return content


def is_quiet(wire: Wire) -> bool:
    """Return whether nothing but an answer to a ping comes."""
    wire.send(frames.frame(frames.PING, 0, 0, b"anything"))
    return wire.read_kind(*DATA_OR_END).kind == frames.PING


def test_reader_that_stops_holds_up_its_own_stream_only(tmp_path: Path) -> None:
    endless = Endless()

    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": endless}),
        greeted(tmp_path / "s") as wire,
    ):
        wire.send(frames.window_update(0, 1 << 20), wire.request(1, "/t.T/Endless"))
        read_data(wire, 65535)
        quiet = is_quiet(wire)
        wire.send(wire.request(3, "/t.T/Inline", b"a"), wire.request(5, "/t.T/Pool"))
        inline, _ = wire.response(3)
        pool, _ = wire.response(5)
        wire.send(frames.window_update(1, 1000))
        more = read_data(wire, 1000)
        wire.send(frames.rst_stream(1, ErrorCode.CANCEL))
        was_closed = endless.closed.wait(20)

    assert quiet
    assert (inline, pool) == (message(b"a"), message())
    assert len(more) == 1000
    assert was_closed
    # Not one item more than it takes to use the window up.
    assert endless.taken == -(-(65535 + 1000) // len(message(endless.item)))


def test_window_of_the_connection_counts_for_all_streams(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": Endless()}),
        greeted(tmp_path / "s") as wire,
    ):
        wire.send(wire.request(1, "/t.T/Endless"))
        read_data(wire, 65535)
        # Its stream has a window of its own, and still must wait.
        wire.send(wire.request(3, "/t.T/Inline", b"abc"))
        quiet = is_quiet(wire)
        wire.send(frames.rst_stream(1, ErrorCode.CANCEL), frames.window_update(0, 8))
        content, _ = wire.response(3)

    assert quiet
    assert content == message(b"abc")


@pytest.mark.parametrize("path", ["/t.T/Inline", "/t.T/Pool"])
def test_large_response_follows_the_windows_that_it_is_given(
    tmp_path: Path, path: str
) -> None:
    with (
        serving(tmp_path / "s"),
        greeted(tmp_path / "s", {Setting.INITIAL_WINDOW_SIZE: 10}) as wire,
    ):
        wire.send(wire.request(1, path, b"x" * 100))
        parts = [read_data(wire, 10)]
        quiet = is_quiet(wire)
        for _ in range(9):
            wire.send(frames.window_update(1, 10))
            parts.append(read_data(wire, 10))
        wire.send(frames.window_update(1, 5))
        parts.append(read_data(wire, 5))
        trailers = wire.read_kind(frames.HEADERS)

    assert quiet
    assert b"".join(parts) == message(b"x" * 100)
    assert trailers.ends


def test_smaller_initial_window_makes_open_windows_negative(tmp_path: Path) -> None:
    """RFC 9113, 6.9.2."""
    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": Endless()}),
        greeted(tmp_path / "s", {Setting.INITIAL_WINDOW_SIZE: 100}) as wire,
    ):
        wire.send(wire.request(1, "/t.T/Endless"))
        read_data(wire, 100)
        wire.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 20}))  # now -80
        wire.send(frames.window_update(1, 80))  # now 0
        quiet = is_quiet(wire)
        wire.send(frames.window_update(1, 7))
        after_update = read_data(wire, 7)
        wire.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 50}))  # 30 more
        after_settings = read_data(wire, 30)
        quiet_again = is_quiet(wire)
        wire.send(frames.rst_stream(1, ErrorCode.CANCEL))

    assert quiet
    assert quiet_again
    assert (len(after_update), len(after_settings)) == (7, 30)


def test_initial_window_that_overflows_an_open_one_ends_the_connection(
    tmp_path: Path,
) -> None:
    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": Endless()}),
        greeted(tmp_path / "s", {Setting.INITIAL_WINDOW_SIZE: 0}) as wire,
    ):
        wire.send(
            wire.request(1, "/t.T/Endless"),
            frames.window_update(1, 100),
            frames.settings({Setting.INITIAL_WINDOW_SIZE: 0x7FFFFFFF}),
        )
        end = wire.read_kind(frames.GOAWAY)

    assert end.error_code == ErrorCode.FLOW_CONTROL_ERROR


def test_frames_are_no_longer_than_every_client_takes(tmp_path: Path) -> None:
    settings = {Setting.INITIAL_WINDOW_SIZE: 1 << 20, Setting.MAX_FRAME_SIZE: 40_000}
    whole = message(bytes(99_995))

    with serving(tmp_path / "s"), greeted(tmp_path / "s", settings) as wire:
        wire.send(frames.window_update(0, 1 << 20), wire.headers(1))
        for at in range(0, len(whole), 10_000):
            part = whole[at : at + 10_000]
            wire.send(wire.data(1, part, ends=at == 90_000))
        sizes = []
        while not (frame := wire.read_kind(frames.DATA, frames.HEADERS)).ends:
            if frame.kind == frames.DATA:
                sizes.append(len(frame.payload))

    assert max(sizes) == 16384
    assert sum(sizes) == 100_000


def test_window_of_a_stream_opens_while_its_request_comes(tmp_path: Path) -> None:
    content = b"x" * (4 * STREAM_WINDOW)

    with serving(tmp_path / "s", {"/t.T/Size": size_of}), greeted(tmp_path / "s") as w:
        w.send(w.headers(1, grpc_fields("/t.T/Size")))
        window, whole, updates = STREAM_WINDOW, message(content), 0
        for at in range(0, len(whole), 16384):
            part = whole[at : at + 16384]
            while window < len(part):
                frame = w.read_kind(frames.WINDOW_UPDATE)
                if frame.stream_id == 1:
                    updates += 1
                    window += int.from_bytes(frame.payload, "big")
            window -= len(part)
            w.send(w.data(1, part, ends=at + 16384 >= len(whole)))
        answer, _ = w.response(1)

    assert answer == message(b"%d" % len(content))
    # Opened by halves, not for each of the 257 frames.
    assert 6 <= updates <= 8


def test_window_of_the_connection_opens_by_halves(tmp_path: Path) -> None:
    unary = {"/t.T/Inline": size_of}

    with serving(tmp_path / "s", unary), greeted(tmp_path / "s") as wire:
        calls = CONNECTION_WINDOW // 2 // 16005 + 2
        for stream_id in range(1, 2 * calls, 2):
            wire.send(wire.request(stream_id, content=b"x" * 16000))
        found = itertools.takewhile(
            lambda f: not (f.stream_id == 2 * calls - 1 and f.ends),
            iter(wire.read, None),
        )
        updates = [f for f in found if f.kind == frames.WINDOW_UPDATE]

    (update,) = updates
    assert update.stream_id == 0
    assert int.from_bytes(update.payload, "big") >= CONNECTION_WINDOW // 2


def test_cancelled_call_that_waits_for_a_window_lets_go(tmp_path: Path) -> None:
    endless = Endless()

    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": endless}),
        greeted(tmp_path / "s", {Setting.INITIAL_WINDOW_SIZE: 0}) as wire,
    ):
        wire.send(wire.request(1, "/t.T/Endless"))
        assert is_quiet(wire)
        wait_until(lambda: endless.taken, "the first item")
        wire.send(frames.rst_stream(1, ErrorCode.CANCEL))
        was_closed = endless.closed.wait(20)

    assert was_closed


def test_lost_client_ends_what_waits_for_its_window(tmp_path: Path) -> None:
    endless = Endless()

    with serving(tmp_path / "s", UNARY, {"/t.T/Endless": endless}):
        with greeted(tmp_path / "s") as wire:
            wire.send(wire.request(1, "/t.T/Endless"))
            read_data(wire, 65535)
        was_closed = endless.closed.wait(20)

    assert was_closed


def test_deadline_ends_a_stream_that_waits_for_its_window(tmp_path: Path) -> None:
    endless = Endless()

    with (
        serving(tmp_path / "s", UNARY, {"/t.T/Endless": endless}),
        greeted(tmp_path / "s") as wire,
    ):
        fields = grpc_fields("/t.T/Endless", ("grpc-timeout", "50m"))
        wire.send(wire.headers(1, fields), wire.data(1, message()))
        _, got = wire.response(1)

    assert got["grpc-status"] == "4"
    assert endless.closed.is_set()
