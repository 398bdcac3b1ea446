"""What breaks the rules of HTTP/2 or gRPC, frame by frame; the server lives on."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.rpc import frames
from snapfs.rpc.frames import ErrorCode, Setting
from snapfs.rpc.status import (
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
)
from support.rpc import (
    Wire,
    connected,
    greeted,
    grpc_fields,
    is_answering,
    message,
    serving,
)

Attack = Callable[[Wire], bytes]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path / "s"):
        yield tmp_path / "s"


def word(value: int) -> bytes:
    return struct.pack(">I", value)


def setting(key: int, value: int) -> bytes:
    return struct.pack(">HI", key, value)


def closed_stream(wire: Wire) -> bytes:
    """Have stream 1 over and done with, seen from both sides."""
    wire.send(wire.request(1))
    wire.response(1)
    return b""


CONNECTION_ERRORS = [
    pytest.param(
        lambda _: frames.frame(frames.DATA, 0, 0, b"x"),
        ErrorCode.PROTOCOL_ERROR,
        id="DATA on stream 0",
    ),
    pytest.param(
        lambda _: frames.frame(frames.DATA, 0, 5, b"x"),
        ErrorCode.PROTOCOL_ERROR,
        id="DATA on an idle stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.DATA, 0, 2, b"x"),
        ErrorCode.PROTOCOL_ERROR,
        id="DATA on a stream of the server",
    ),
    pytest.param(
        lambda w: w.headers(1) + frames.frame(frames.DATA, frames.PADDED, 1, b""),
        ErrorCode.FRAME_SIZE_ERROR,
        id="DATA without room for the padding's length",
    ),
    pytest.param(
        lambda w: (
            w.headers(1) + frames.frame(frames.DATA, frames.PADDED, 1, b"\x05abc")
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="DATA of padding only, and more of it",
    ),
    pytest.param(
        lambda w: closed_stream(w) + w.headers(1),
        ErrorCode.STREAM_CLOSED,
        id="HEADERS on a closed stream",
    ),
    pytest.param(
        lambda w: w.headers(5, ends=True) + w.headers(3),
        ErrorCode.STREAM_CLOSED,
        id="HEADERS on a stream that was skipped",
    ),
    pytest.param(
        lambda w: w.headers(0), ErrorCode.PROTOCOL_ERROR, id="HEADERS on stream 0"
    ),
    pytest.param(
        lambda w: w.headers(2), ErrorCode.PROTOCOL_ERROR, id="HEADERS on an even stream"
    ),
    pytest.param(
        lambda _: frames.frame(
            frames.HEADERS, frames.END_HEADERS | frames.PRIORITIZED, 1, b"abc"
        ),
        ErrorCode.FRAME_SIZE_ERROR,
        id="HEADERS without room for the priority",
    ),
    pytest.param(
        lambda _: frames.frame(
            frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\x40ab"
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="HEADERS of padding only, and more of it",
    ),
    pytest.param(
        lambda _: frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xff\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
        id="headers that end within a number",
    ),
    pytest.param(
        lambda _: frames.frame(frames.HEADERS, frames.END_HEADERS, 1, b"\xc0"),
        ErrorCode.COMPRESSION_ERROR,
        id="headers from an empty place of the table",
    ),
    pytest.param(
        lambda _: frames.frame(
            frames.HEADERS, frames.END_HEADERS, 1, b"\x3f\xe1\xff\x03"
        ),
        ErrorCode.COMPRESSION_ERROR,
        id="a dynamic table above the limit",
    ),
    pytest.param(
        lambda w: w.headers(1, flags=0) + frames.frame(frames.PING, 0, 0, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
        id="PING within a header block",
    ),
    pytest.param(
        lambda w: w.headers(1, flags=0) + frames.frame(99, 0, 1, b""),
        ErrorCode.PROTOCOL_ERROR,
        id="an unknown frame within a header block",
    ),
    pytest.param(
        lambda w: (
            w.headers(1, flags=0)
            + frames.frame(frames.CONTINUATION, frames.END_HEADERS, 3, b"")
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="CONTINUATION on another stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, b""),
        ErrorCode.PROTOCOL_ERROR,
        id="CONTINUATION of nothing",
    ),
    pytest.param(
        lambda _: frames.frame(frames.PRIORITY, 0, 0, bytes(5)),
        ErrorCode.PROTOCOL_ERROR,
        id="PRIORITY on stream 0",
    ),
    pytest.param(
        lambda _: frames.frame(frames.RST_STREAM, 0, 0, word(8)),
        ErrorCode.PROTOCOL_ERROR,
        id="RST_STREAM on stream 0",
    ),
    pytest.param(
        lambda _: frames.frame(frames.RST_STREAM, 0, 9, word(8)),
        ErrorCode.PROTOCOL_ERROR,
        id="RST_STREAM on an idle stream",
    ),
    pytest.param(
        lambda w: w.headers(1) + frames.frame(frames.RST_STREAM, 0, 1, b"abc"),
        ErrorCode.FRAME_SIZE_ERROR,
        id="RST_STREAM of three bytes",
    ),
    pytest.param(
        lambda _: frames.frame(frames.SETTINGS, 0, 1, b""),
        ErrorCode.PROTOCOL_ERROR,
        id="SETTINGS on a stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.SETTINGS, 0, 0, b"abc"),
        ErrorCode.FRAME_SIZE_ERROR,
        id="SETTINGS of three bytes",
    ),
    pytest.param(
        lambda _: frames.frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        ErrorCode.FRAME_SIZE_ERROR,
        id="SETTINGS with ACK and content",
    ),
    pytest.param(
        lambda _: frames.frame(frames.SETTINGS, 0, 0, setting(Setting.ENABLE_PUSH, 2)),
        ErrorCode.PROTOCOL_ERROR,
        id="ENABLE_PUSH of 2",
    ),
    pytest.param(
        lambda _: frames.frame(
            frames.SETTINGS, 0, 0, setting(Setting.INITIAL_WINDOW_SIZE, 1 << 31)
        ),
        ErrorCode.FLOW_CONTROL_ERROR,
        id="INITIAL_WINDOW_SIZE of 32 bits",
    ),
    pytest.param(
        lambda _: frames.frame(
            frames.SETTINGS, 0, 0, setting(Setting.MAX_FRAME_SIZE, 16383)
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="MAX_FRAME_SIZE below the least",
    ),
    pytest.param(
        lambda _: frames.frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, word(2)),
        ErrorCode.PROTOCOL_ERROR,
        id="PUSH_PROMISE of a client",
    ),
    pytest.param(
        lambda _: frames.frame(frames.PING, 0, 1, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
        id="PING on a stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.PING, 0, 0, bytes(7)),
        ErrorCode.FRAME_SIZE_ERROR,
        id="PING of seven bytes",
    ),
    pytest.param(
        lambda _: frames.frame(frames.GOAWAY, 0, 1, bytes(8)),
        ErrorCode.PROTOCOL_ERROR,
        id="GOAWAY on a stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.GOAWAY, 0, 0, bytes(7)),
        ErrorCode.FRAME_SIZE_ERROR,
        id="GOAWAY of seven bytes",
    ),
    pytest.param(
        lambda _: frames.frame(frames.WINDOW_UPDATE, 0, 0, word(0)),
        ErrorCode.PROTOCOL_ERROR,
        id="WINDOW_UPDATE by nothing",
    ),
    pytest.param(
        lambda _: frames.frame(frames.WINDOW_UPDATE, 0, 0, word(0x7FFFFFFF)),
        ErrorCode.FLOW_CONTROL_ERROR,
        id="WINDOW_UPDATE beyond 31 bits",
    ),
    pytest.param(
        lambda _: frames.frame(frames.WINDOW_UPDATE, 0, 7, word(1)),
        ErrorCode.PROTOCOL_ERROR,
        id="WINDOW_UPDATE on an idle stream",
    ),
    pytest.param(
        lambda _: frames.frame(frames.WINDOW_UPDATE, 0, 0, b"abc"),
        ErrorCode.FRAME_SIZE_ERROR,
        id="WINDOW_UPDATE of three bytes",
    ),
    pytest.param(
        lambda _: (
            frames.frame(frames.DATA, 0, 1, b"")[:0] + b"\xff\xff\xff\0\0\0\0\0\x01"
        ),
        ErrorCode.FRAME_SIZE_ERROR,
        id="a frame of 16 MiB",
    ),
]


@pytest.mark.parametrize(("attack", "code"), CONNECTION_ERRORS)
def test_fault_of_the_connection_ends_it_with_its_code(
    server: Path, attack: Attack, code: ErrorCode
) -> None:
    with greeted(server) as other, greeted(server) as wire:
        wire.send(attack(wire))
        ends = [f for f in wire.read_all() if f.kind == frames.GOAWAY]
        other.ping()

    assert [end.error_code for end in ends] == [code]
    assert is_answering(server)


STREAM_ERRORS = [
    pytest.param(
        lambda w: w.request(1, "/t.T/Slow") + w.data(1, b"x"),
        ErrorCode.STREAM_CLOSED,
        id="DATA after the end",
    ),
    pytest.param(
        lambda w: closed_stream(w) + w.data(1, b"x"),
        ErrorCode.STREAM_CLOSED,
        id="DATA on a closed stream",
    ),
    pytest.param(
        lambda w: w.request(1, "/t.T/Slow") + w.headers(1),
        ErrorCode.STREAM_CLOSED,
        id="HEADERS after the end",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.headers(1, [("a", "b")]),
        ErrorCode.PROTOCOL_ERROR,
        id="trailers that do not end the stream",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.headers(1, [(":path", "/")], ends=True),
        ErrorCode.PROTOCOL_ERROR,
        id="pseudo-headers as trailers",
    ),
    pytest.param(
        lambda w: w.headers(1) + frames.frame(frames.PRIORITY, 0, 1, bytes(4)),
        ErrorCode.FRAME_SIZE_ERROR,
        id="PRIORITY of four bytes",
    ),
    pytest.param(
        lambda w: w.headers(1) + frames.frame(frames.WINDOW_UPDATE, 0, 1, word(0)),
        ErrorCode.PROTOCOL_ERROR,
        id="WINDOW_UPDATE by nothing",
    ),
    pytest.param(
        lambda w: (
            w.headers(1) + frames.frame(frames.WINDOW_UPDATE, 0, 1, word(0x7FFFFFFF))
        ),
        ErrorCode.FLOW_CONTROL_ERROR,
        id="WINDOW_UPDATE beyond 31 bits",
    ),
    *(
        pytest.param(
            lambda w, fields=fields: w.headers(1, fields),
            ErrorCode.PROTOCOL_ERROR,
            id=name,
        )
        for name, fields in (
            ("an upper-case name", grpc_fields("/t.T/Inline", ("X", "1"))),
            ("a name with a blank", grpc_fields("/t.T/Inline", ("a b", "1"))),
            ("an empty name", grpc_fields("/t.T/Inline", ("", "1"))),
            ("a value with a line end", grpc_fields("/t.T/Inline", ("a", "1\r\nb"))),
            ("a value with a blank ahead", grpc_fields("/t.T/Inline", ("a", " 1"))),
            ("an unknown pseudo-header", [(":test", "1"), *grpc_fields()]),
            ("a pseudo-header of responses", [(":status", "200"), *grpc_fields()]),
            ("a pseudo-header twice", [(":path", "/"), *grpc_fields()]),
            ("a pseudo-header last", [*grpc_fields()[1:], (":method", "POST")]),
            ("no method", grpc_fields()[1:]),
            ("no scheme", [f for f in grpc_fields() if f[0] != ":scheme"]),
            ("an empty path", grpc_fields("")),
            ("connection", grpc_fields("/t.T/Inline", ("connection", "close"))),
            ("te of something else", [*grpc_fields()[:-1], ("te", "gzip")]),
            ("no length", grpc_fields("/t.T/Inline", ("content-length", "x"))),
            (
                "two lengths",
                grpc_fields(
                    "/t.T/Inline", ("content-length", "1"), ("content-length", "2")
                ),
            ),
        )
    ),
    pytest.param(
        lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("content-length", "6")))
            + w.data(1, message())
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="less than content-length",
    ),
    pytest.param(
        lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("content-length", "4")))
            + w.data(1, message())
        ),
        ErrorCode.PROTOCOL_ERROR,
        id="more than content-length",
    ),
]


@pytest.mark.parametrize(("attack", "code"), STREAM_ERRORS)
def test_fault_of_a_stream_ends_it_alone(
    tmp_path: Path, attack: Attack, code: ErrorCode
) -> None:
    may_end = threading.Event()

    def slow(request: bytes, _: object) -> bytes:
        may_end.wait()
        return request

    unary = {"/t.T/Inline": lambda r, _: r, "/t.T/Slow": slow}
    with serving(tmp_path / "s", unary), greeted(tmp_path / "s") as wire:
        wire.send(attack(wire))
        reset = wire.read_kind(frames.RST_STREAM, frames.GOAWAY)
        wire.send(wire.request(3, content=b"next"))
        content, _ = wire.response(3)
        may_end.set()

    assert reset.kind == frames.RST_STREAM
    assert (reset.stream_id, reset.error_code) == (1, code)
    assert content == message(b"next")


REFUSALS = [
    pytest.param(
        lambda w: w.request(1, "/t.T/Nope"),
        UNIMPLEMENTED,
        "unknown method /t.T/Nope",
        id="an unknown path",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.data(1, message(b"x", compressed=1)),
        UNIMPLEMENTED,
        "compressed messages are not supported",
        id="a compressed message",
    ),
    pytest.param(
        lambda w: w.headers(1, ends=True),
        UNIMPLEMENTED,
        "no request message",
        id="no message",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.data(1, b""),
        UNIMPLEMENTED,
        "no request message",
        id="an empty frame for a message",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.data(1, message() + message()),
        UNIMPLEMENTED,
        "a second request message",
        id="two messages",
    ),
    pytest.param(
        lambda w: w.headers(1) + w.data(1, message(b"abc")[:-1]),
        INTERNAL,
        "the stream ended in the middle of a message",
        id="half a message",
    ),
    pytest.param(
        lambda w: (
            w.headers(1) + w.data(1, struct.pack(">BI", 0, (16 << 20) + 1), ends=False)
        ),
        RESOURCE_EXHAUSTED,
        "a message of 16777217 bytes is longer than 16777216",
        id="a message beyond the limit",
    ),
    pytest.param(
        lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("grpc-timeout", "1x")))
            + w.data(1, message())
        ),
        INTERNAL,
        "malformed grpc-timeout b'1x'",
        id="a time-out that cannot be read",
    ),
]


@pytest.mark.parametrize(("attack", "code", "text"), REFUSALS)
def test_request_that_grpc_refuses_gets_a_status(
    server: Path, attack: Attack, code: int, text: str
) -> None:
    with greeted(server) as wire:
        wire.send(attack(wire))
        content, fields = wire.response(1)
        wire.send(wire.request(3, content=b"next"))
        following, _ = wire.response(3)

    assert content == b""
    assert fields[":status"] == "200"
    assert fields["content-type"] == "application/grpc"
    assert fields["grpc-status"] == str(code)
    assert fields["grpc-message"] == text
    assert following == message(b"next")


def test_refusal_of_a_compressed_message_names_what_is_accepted(server: Path) -> None:
    with greeted(server) as wire:
        wire.send(wire.headers(1), wire.data(1, message(b"x", compressed=1)))
        _, fields = wire.response(1)

    assert fields["grpc-accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param([(":method", "GET"), *grpc_fields()[1:]], "405", id="GET"),
        pytest.param(
            [
                *(f for f in grpc_fields() if f[0] != "content-type"),
                ("content-type", "application/json"),
            ],
            "415",
            id="JSON",
        ),
        pytest.param(
            [
                *(f for f in grpc_fields() if f[0] != "content-type"),
                ("content-type", "application/grpc-web"),
            ],
            "415",
            id="gRPC-Web",
        ),
        pytest.param(
            [f for f in grpc_fields() if f[0] != "content-type"], "415", id="no type"
        ),
    ],
)
def test_request_that_is_not_grpc_gets_an_http_status(
    server: Path, fields: list[tuple[str, str]], status: str
) -> None:
    with greeted(server) as wire:
        wire.send(wire.headers(1, fields, ends=True))
        _, got = wire.response(1)

    assert got[":status"] == status
    assert ("allow" in got) == (status == "405")


def test_early_refusal_tells_the_client_to_stop_and_ignores_what_is_on_its_way(
    server: Path,
) -> None:
    with greeted(server) as wire:
        wire.send(wire.headers(1, grpc_fields("/t.T/Nope")))
        wire.response(1)
        reset = wire.read_kind(frames.RST_STREAM)
        wire.send(
            wire.data(1, b"more", ends=False),
            wire.headers(1, [("trailer", "1")], ends=True),
            wire.request(3),
        )
        after = wire.read_kind(frames.RST_STREAM, frames.GOAWAY, frames.HEADERS)

    assert (reset.stream_id, reset.error_code) == (1, ErrorCode.NO_ERROR)
    assert (after.kind, after.stream_id) == (frames.HEADERS, 3)


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP/1.1"),
        pytest.param(b"\x16\x03\x01\x02\0\x01\0", id="TLS"),
        pytest.param(
            frames.PREFACE + frames.frame(frames.PING, 0, 0, bytes(8)), id="no SETTINGS"
        ),
        pytest.param(frames.PREFACE + frames.SETTINGS_ACK, id="an answer for SETTINGS"),
        pytest.param(frames.PREFACE + frames.frame(99, 0, 0, b""), id="unknown frame"),
    ],
)
def test_client_that_does_not_speak_http_2_is_sent_away(
    server: Path, greeting: bytes
) -> None:
    with connected(server) as wire:
        wire.send(greeting)
        ends = [f for f in wire.read_all() if f.kind == frames.GOAWAY]

    assert [end.error_code for end in ends] == [ErrorCode.PROTOCOL_ERROR]
    assert is_answering(server)


@pytest.mark.parametrize("size", [0, 5, 24, 30, 40])
def test_client_that_dies_in_its_first_words_is_forgotten(
    server: Path, size: int
) -> None:
    with connected(server) as wire:
        hello = frames.PREFACE + frames.settings({Setting.MAX_FRAME_SIZE: 16384})
        wire.send(hello[:size])

    assert is_answering(server)


def test_client_that_dies_within_a_frame_is_forgotten(server: Path) -> None:
    with greeted(server) as wire:
        wire.send(wire.request(1, content=b"x" * 100)[:-50])

    assert is_answering(server)


def test_unknown_frames_settings_and_flags_are_ignored(server: Path) -> None:
    with greeted(server) as wire:
        wire.send(
            frames.frame(0xFA, 0xFF, 0, b"grease"),
            frames.frame(0xFA, 0xFF, 17, b"grease"),
            frames.frame(frames.SETTINGS, 0, 0, setting(0x0A0A, 7)),
            frames.frame(frames.PING, 0xFE, 0, bytes(8)),
            wire.request(1, content=b"x"),
        )
        content, _ = wire.response(1)

    assert content == message(b"x")


def test_padding_priority_and_continuations_are_understood(server: Path) -> None:
    with greeted(server) as wire:
        block = wire.encoder.encode(grpc_fields())
        wire.send(
            frames.frame(
                frames.HEADERS,
                frames.PADDED | frames.PRIORITIZED,
                1,
                b"\x03" + bytes(5) + block[:7] + bytes(3),
            ),
            frames.frame(frames.CONTINUATION, 0, 1, block[7:9]),
            frames.frame(frames.CONTINUATION, 0, 1, b""),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, 1, block[9:]),
            frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
            frames.frame(
                frames.DATA,
                frames.PADDED | frames.END_STREAM,
                1,
                b"\x09" + message(b"abc") + bytes(9),
            ),
        )
        content, fields = wire.response(1)

    assert content == message(b"abc")
    assert fields["grpc-status"] == "0"


def test_trailers_of_a_client_end_its_request(server: Path) -> None:
    with greeted(server) as wire:
        wire.send(
            wire.headers(1),
            wire.data(1, message(b"abc"), ends=False),
            wire.headers(1, [("checksum", "1")], ends=True),
        )
        content, _ = wire.response(1)

    assert content == message(b"abc")


def test_message_may_be_cut_anywhere(server: Path) -> None:
    whole = message(b"abcdef")

    with greeted(server) as wire:
        wire.send(wire.headers(1))
        for byte in whole:
            wire.send(wire.data(1, bytes((byte,)), ends=False))
        wire.send(wire.data(1, b""))
        content, _ = wire.response(1)

    assert content == whole


def test_frames_may_be_cut_anywhere(server: Path) -> None:
    with greeted(server) as wire:
        for byte in wire.request(1, content=b"abc"):
            wire.send(bytes((byte,)))
        content, _ = wire.response(1)

    assert content == message(b"abc")


def test_server_that_may_not_use_a_table_says_so_in_its_next_block(
    server: Path,
) -> None:
    with greeted(server, {Setting.HEADER_TABLE_SIZE: 0}) as wire:
        # hpack refuses a block without the update that RFC 7541, 4.2 demands.
        wire.decoder.max_allowed_table_size = 0
        wire.send(wire.request(1, content=b"x"))
        content, fields = wire.response(1)

    assert content == message(b"x")
    assert fields["grpc-status"] == "0"


def test_end_of_a_connection_is_logged_with_its_client(
    server: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "snapfs.rpc")

    with greeted(server) as wire:
        wire.send(frames.frame(frames.PING, 0, 0, b""))
        wire.read_all()

    (record,) = caplog.records
    assert "pid" in record.getMessage()
    assert "PING of 0 bytes" in record.getMessage()
