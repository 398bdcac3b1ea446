"""Clients that mean harm: what they send is bounded, and others do not notice."""

from __future__ import annotations

import contextlib
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.rpc import frames, server_connection
from snapfs.rpc.calls import CallContext
from snapfs.rpc.frames import ErrorCode, Setting
from support.rpc import (
    Wire,
    connected,
    greeted,
    grpc_fields,
    is_answering,
    message,
    serving,
)

MANY = 12_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path / "s"):
        yield tmp_path / "s"


def flood(wire: Wire, data: bytes) -> list[int]:
    """Send ``data`` while nobody minds; return the codes of what ends it."""

    def pour() -> None:
        with contextlib.suppress(OSError):  # the server has had enough, as it should
            wire.sock.sendall(data)

    sender = threading.Thread(target=pour)
    sender.start()
    ends = [f.error_code for f in wire.read_all() if f.kind == frames.GOAWAY]
    sender.join()
    return ends


FLOODS = [
    pytest.param(frames.frame(frames.PING, 0, 0, bytes(8)), id="PING"),
    pytest.param(frames.frame(frames.PING, frames.ACK, 0, bytes(8)), id="PING ACK"),
    pytest.param(frames.settings({}), id="SETTINGS"),
    pytest.param(frames.SETTINGS_ACK, id="SETTINGS ACK"),
    pytest.param(frames.frame(frames.PRIORITY, 0, 1, bytes(5)), id="PRIORITY"),
    pytest.param(frames.window_update(0, 1), id="WINDOW_UPDATE"),
    pytest.param(frames.frame(99, 0, 0, b""), id="an unknown frame"),
    pytest.param(frames.goaway(0, ErrorCode.NO_ERROR), id="GOAWAY"),
]


@pytest.mark.parametrize("frame", FLOODS)
def test_flood_of_frames_that_ask_for_nothing_ends_the_connection(
    server: Path, frame: bytes
) -> None:
    with greeted(server) as other, greeted(server) as wire:
        ends = flood(wire, frame * MANY)
        other.ping()

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]
    assert is_answering(server)


def test_settings_in_one_large_frame_count_one_by_one(server: Path) -> None:
    pair = struct.pack(">HI", Setting.INITIAL_WINDOW_SIZE, 1)
    frame = frames.frame(frames.SETTINGS, 0, 0, pair * 2000)

    with greeted(server) as wire:
        ends = flood(wire, frame * 10)

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]


def test_empty_data_without_end_is_a_flood(server: Path) -> None:
    with greeted(server) as wire:
        ends = flood(wire, wire.headers(1) + wire.data(1, b"", ends=False) * MANY)

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]


def test_rapid_resets_end_the_connection_and_run_no_more_calls_than_permitted(
    tmp_path: Path,
) -> None:
    """CVE-2023-44487: what was reset still occupies its place until it has ended."""
    may_end = threading.Event()
    started: list[str] = []

    def slow(request: bytes, context: CallContext) -> bytes:
        started.append(context.path)
        may_end.wait()
        return request

    unary = {"/t.T/Inline": lambda r, _: r, "/t.T/Slow": slow}
    with serving(tmp_path / "s", unary), greeted(tmp_path / "s") as wire:
        attack = b"".join(
            wire.request(stream_id, "/t.T/Slow")
            + frames.rst_stream(stream_id, ErrorCode.CANCEL)
            for stream_id in range(1, 4000, 2)
        )
        ends = flood(wire, attack)
        answers = is_answering(tmp_path / "s")
        at_work = len(started)
        may_end.set()

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]
    assert answers
    assert at_work <= 4  # workers; what waited was skipped, for nobody waits for it
    assert len(started) <= 4


def test_streams_beyond_the_limit_are_refused_and_the_others_answered(
    tmp_path: Path,
) -> None:
    may_end = threading.Event()

    def slow(request: bytes, _: CallContext) -> bytes:
        may_end.wait()
        return request

    with serving(tmp_path / "s", {"/t.T/Slow": slow}), greeted(tmp_path / "s") as wire:
        ids = range(1, 2 * 258, 2)
        wire.send(*(wire.request(i, "/t.T/Slow", b"x") for i in ids))
        refused = [wire.read_kind(frames.RST_STREAM) for _ in range(2)]
        may_end.set()
        content, _ = wire.response(1)

    assert [f.stream_id for f in refused] == [513, 515]
    assert {f.error_code for f in refused} == {ErrorCode.REFUSED_STREAM}
    assert content == message(b"x")


@pytest.mark.parametrize(
    "continuation",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 8192, id="large"),
        pytest.param(b"\x82", id="small"),
    ],
)
def test_header_block_without_end_ends_the_connection(
    server: Path, continuation: bytes
) -> None:
    frame = frames.frame(frames.CONTINUATION, 0, 1, continuation)

    with greeted(server) as wire:
        ends = flood(wire, wire.headers(1, flags=0) + frame * 10_000)

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]
    assert is_answering(server)


def test_header_block_that_unfolds_is_stopped(server: Path) -> None:
    """The HPACK bomb of CVE-2016-6581: one byte for 4,000, a thousand times."""
    with greeted(server) as wire:
        wire.send(
            wire.headers(1, grpc_fields("/t.T/Inline", ("bomb", "x" * 3900))),
            wire.data(1, message()),
        )
        wire.response(1)
        tracemalloc.start()
        block = b"\xbe" * 16000
        wire.send(frames.frame(frames.HEADERS, frames.END_HEADERS, 3, block))
        ends = [f.error_code for f in wire.read_all() if f.kind == frames.GOAWAY]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]
    assert peak < 8 << 20
    assert is_answering(server)


def send_without_reading(wire: Wire) -> None:
    """Ask for more and more, with windows that allow it."""
    for stream_id in range(1, 1 << 30, 2):
        wire.send(
            frames.window_update(0, 1 << 20),
            wire.request(stream_id, content=b"x" * 16000),
        )


def test_client_that_sends_and_never_reads_is_not_read_either(tmp_path: Path) -> None:
    """It gets stuck itself, and its answers do not pile up here."""
    with serving(tmp_path / "s"), greeted(tmp_path / "s") as wire:
        wire.sock.settimeout(1)
        tracemalloc.start()
        with pytest.raises(TimeoutError):
            send_without_reading(wire)
        current, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        answers = is_answering(tmp_path / "s")

    assert answers
    assert current < 16 << 20


def test_client_that_never_reads_is_given_up(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "s", send_timeout_s=0.2),
        greeted(tmp_path / "s") as wire,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        send_without_reading(wire)


def test_large_requests_share_a_budget(tmp_path: Path) -> None:
    """Sixteen times the limit of a message, whatever the number of connections."""
    limit = 1 << 20
    part = message(bytes(limit))[: 1 << 19]

    with serving(tmp_path / "s", max_message_bytes=limit):
        wires = [greeted(tmp_path / "s") for _ in range(6)]
        try:
            for wire in wires:
                for stream_id in range(1, 14, 2):
                    wire.send(wire.headers(stream_id))
                    for at in range(0, len(part), 16384):
                        chunk = part[at : at + 16384]
                        wire.send(wire.data(stream_id, chunk, ends=False))
                wire.send(frames.frame(frames.PING, 0, 0, bytes(8)))
            refusals = _refusals(wires)
            answers = is_answering(tmp_path / "s")
        finally:
            for wire in wires:
                wire.sock.close()

    assert refusals == 6 * 7 - 32
    assert answers


def _refusals(wires: list[Wire]) -> int:
    """Count the calls that were answered before they were complete."""
    count = 0
    for wire in wires:
        while wire.read_kind(frames.HEADERS, frames.PING).kind == frames.HEADERS:
            count += 1
    return count


def test_connection_that_says_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_connection, "GREETING_TIMEOUT_S", 0.05)

    with serving(tmp_path / "s"):
        with connected(tmp_path / "s") as silent:
            silent_got = silent.read_all()
        with connected(tmp_path / "s") as half:
            half.send(frames.PREFACE)
            half_got = half.read_all()
        answers = is_answering(tmp_path / "s")

    # Our own settings come first in any case.
    assert [f.kind for f in silent_got] == [frames.SETTINGS, frames.WINDOW_UPDATE]
    assert [f.kind for f in half_got] == [frames.SETTINGS, frames.WINDOW_UPDATE]
    assert answers


def test_connections_beyond_the_limit_are_turned_away_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tmp_path / "s", max_connections=2):
        with greeted(tmp_path / "s") as first, greeted(tmp_path / "s"):
            with connected(tmp_path / "s") as third:
                turned_away = third.read()
            first.ping()
        # Once the others are gone there is room again.
        while True:
            with connected(tmp_path / "s") as later:
                if later.read() is not None:
                    break

    assert turned_away is None
    assert "was turned away: there are 2 connections already" in caplog.text


def test_client_that_reads_large_responses_is_no_flood(tmp_path: Path) -> None:
    """It opens windows by the thousand, because it must."""
    content = b"x" * (1 << 20)
    settings = {Setting.INITIAL_WINDOW_SIZE: 4096}

    with (
        serving(tmp_path / "s", {"/t.T/Large": lambda *_: content}),
        greeted(tmp_path / "s", settings) as wire,
    ):
        for stream_id in range(1, 41, 2):
            wire.send(wire.request(stream_id, "/t.T/Large"))
            left = len(message(content))
            while left:
                frame = wire.read_kind(frames.DATA, frames.GOAWAY)
                assert frame.kind == frames.DATA
                left -= len(frame.payload)
                wire.send(
                    frames.window_update(0, len(frame.payload)),
                    frames.window_update(stream_id, len(frame.payload)),
                    frames.frame(frames.PING, 0, 0, bytes(8)),
                )
            assert wire.read_kind(frames.HEADERS).ends


def test_windows_that_open_by_single_bytes_are_a_flood(tmp_path: Path) -> None:
    """The data dribble of CVE-2019-9511."""
    with (
        serving(tmp_path / "s", {"/t.T/Large": lambda *_: bytes(1 << 20)}),
        greeted(tmp_path / "s", {Setting.INITIAL_WINDOW_SIZE: 0}) as wire,
    ):
        ends = flood(
            wire, wire.request(1, "/t.T/Large") + frames.window_update(1, 1) * MANY
        )

    assert ends == [ErrorCode.ENHANCE_YOUR_CALM]
