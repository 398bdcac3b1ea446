"""What breaks the rules of HTTP/2 or gRPC, frame by frame; the server lives on."""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.rpc import frames
from snapfs.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    WINDOW_UPDATE,
    ErrorCode,
    Setting,
)
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
Table = dict[ErrorCode, dict[str, Attack]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path / "s"):
        yield tmp_path / "s"


def word(value: int) -> bytes:
    return struct.pack(">I", value)


def setting(key: int, value: int) -> bytes:
    return struct.pack(">HI", key, value)


def raw(kind: int, flags: int, stream: int, content: bytes) -> Attack:
    """One frame as the first of its stream."""
    return lambda _: frames.frame(kind, flags, stream, content)


def then(kind: int, flags: int, stream: int, content: bytes) -> Attack:
    """One frame after the headers of stream 1."""
    return lambda w: w.headers(1) + frames.frame(kind, flags, stream, content)


def opening(fields: list[tuple[str, str]]) -> Attack:
    """Headers of stream 1."""
    return lambda w: w.headers(1, fields)


def closed_stream(wire: Wire) -> bytes:
    """Have stream 1 over and done with, seen from both sides."""
    wire.send(wire.request(1))
    wire.response(1)
    return b""


CONNECTION_ERRORS: Table = {
    ErrorCode.PROTOCOL_ERROR: {
        "DATA on stream 0": raw(DATA, 0, 0, b"x"),
        "DATA on an idle stream": raw(DATA, 0, 5, b"x"),
        "DATA on a stream of the server": raw(DATA, 0, 2, b"x"),
        "DATA of padding only, and more of it": then(DATA, PADDED, 1, b"\x05abc"),
        "HEADERS on stream 0": lambda w: w.headers(0),
        "HEADERS on an even stream": lambda w: w.headers(2),
        "HEADERS of padding only, and more of it": raw(
            HEADERS, END_HEADERS | PADDED, 1, b"\x40ab"
        ),
        "PING within a header block": lambda w: (
            w.headers(1, flags=0) + frames.frame(PING, 0, 0, bytes(8))
        ),
        "an unknown frame within a header block": lambda w: (
            w.headers(1, flags=0) + frames.frame(99, 0, 1, b"")
        ),
        "CONTINUATION on another stream": lambda w: (
            w.headers(1, flags=0) + frames.frame(CONTINUATION, END_HEADERS, 3, b"")
        ),
        "CONTINUATION of nothing": raw(CONTINUATION, END_HEADERS, 1, b""),
        "PRIORITY on stream 0": raw(PRIORITY, 0, 0, bytes(5)),
        "RST_STREAM on stream 0": raw(RST_STREAM, 0, 0, word(8)),
        "RST_STREAM on an idle stream": raw(RST_STREAM, 0, 9, word(8)),
        "SETTINGS on a stream": raw(SETTINGS, 0, 1, b""),
        "ENABLE_PUSH of 2": raw(SETTINGS, 0, 0, setting(Setting.ENABLE_PUSH, 2)),
        "MAX_FRAME_SIZE below the least": raw(
            SETTINGS, 0, 0, setting(Setting.MAX_FRAME_SIZE, 16383)
        ),
        "PUSH_PROMISE of a client": raw(PUSH_PROMISE, END_HEADERS, 1, word(2)),
        "PING on a stream": raw(PING, 0, 1, bytes(8)),
        "GOAWAY on a stream": raw(GOAWAY, 0, 1, bytes(8)),
        "WINDOW_UPDATE by nothing": raw(WINDOW_UPDATE, 0, 0, word(0)),
        "WINDOW_UPDATE on an idle stream": raw(WINDOW_UPDATE, 0, 7, word(1)),
    },
    ErrorCode.FRAME_SIZE_ERROR: {
        "DATA without room for the padding's length": then(DATA, PADDED, 1, b""),
        "HEADERS without room for the priority": raw(
            HEADERS, END_HEADERS | PRIORITIZED, 1, b"abc"
        ),
        "RST_STREAM of three bytes": then(RST_STREAM, 0, 1, b"abc"),
        "SETTINGS of three bytes": raw(SETTINGS, 0, 0, b"abc"),
        "SETTINGS with ACK and content": raw(SETTINGS, ACK, 0, bytes(6)),
        "PING of seven bytes": raw(PING, 0, 0, bytes(7)),
        "GOAWAY of seven bytes": raw(GOAWAY, 0, 0, bytes(7)),
        "WINDOW_UPDATE of three bytes": raw(WINDOW_UPDATE, 0, 0, b"abc"),
        "a frame of 16 MiB": lambda _: b"\xff\xff\xff\0\0\0\0\0\x01",
    },
    ErrorCode.STREAM_CLOSED: {
        "HEADERS on a closed stream": lambda w: closed_stream(w) + w.headers(1),
        "HEADERS on a stream that was skipped": lambda w: (
            w.headers(5, ends=True) + w.headers(3)
        ),
    },
    ErrorCode.COMPRESSION_ERROR: {
        "headers that end within a number": raw(
            HEADERS, END_HEADERS, 1, b"\xff\xff\xff"
        ),
        "headers from an empty place of the table": raw(
            HEADERS, END_HEADERS, 1, b"\xc0"
        ),
        "a dynamic table above the limit": raw(
            HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\x03"
        ),
    },
    ErrorCode.FLOW_CONTROL_ERROR: {
        "INITIAL_WINDOW_SIZE of 32 bits": raw(
            SETTINGS, 0, 0, setting(Setting.INITIAL_WINDOW_SIZE, 1 << 31)
        ),
        "WINDOW_UPDATE beyond 31 bits": raw(WINDOW_UPDATE, 0, 0, word(0x7FFFFFFF)),
    },
}


@pytest.mark.parametrize(
    ("code", "attack"),
    [
        pytest.param(code, attack, id=name)
        for code, rows in CONNECTION_ERRORS.items()
        for name, attack in rows.items()
    ],
)
def test_fault_of_the_connection_ends_it_with_its_code(
    server: Path, attack: Attack, code: ErrorCode
) -> None:
    with greeted(server) as other, greeted(server) as wire:
        wire.send(attack(wire))
        ends = [f for f in wire.read_all() if f.kind == GOAWAY]
        other.ping()

    assert [end.error_code for end in ends] == [code]
    assert is_answering(server)


STREAM_ERRORS: Table = {
    ErrorCode.STREAM_CLOSED: {
        "DATA after the end": lambda w: w.request(1, "/t.T/Slow") + w.data(1, b"x"),
        "DATA on a closed stream": lambda w: closed_stream(w) + w.data(1, b"x"),
        "HEADERS after the end": lambda w: w.request(1, "/t.T/Slow") + w.headers(1),
    },
    ErrorCode.PROTOCOL_ERROR: {
        "trailers that do not end the stream": lambda w: (
            w.headers(1) + w.headers(1, [("a", "b")])
        ),
        "pseudo-headers as trailers": lambda w: (
            w.headers(1) + w.headers(1, [(":path", "/")], ends=True)
        ),
        "WINDOW_UPDATE by nothing": then(WINDOW_UPDATE, 0, 1, word(0)),
        "an upper-case name": opening(grpc_fields("/t.T/Inline", ("X", "1"))),
        "a name with a blank": opening(grpc_fields("/t.T/Inline", ("a b", "1"))),
        "an empty name": opening(grpc_fields("/t.T/Inline", ("", "1"))),
        "a value with a line end": opening(grpc_fields("/t.T/Inline", ("a", "1\r\nb"))),
        "a value with a blank ahead": opening(grpc_fields("/t.T/Inline", ("a", " 1"))),
        "an unknown pseudo-header": opening([(":test", "1"), *grpc_fields()]),
        "a pseudo-header of responses": opening([(":status", "200"), *grpc_fields()]),
        "a pseudo-header twice": opening([(":path", "/"), *grpc_fields()]),
        "a pseudo-header last": opening([*grpc_fields()[1:], (":method", "POST")]),
        "no method": opening(grpc_fields()[1:]),
        "no scheme": opening([f for f in grpc_fields() if f[0] != ":scheme"]),
        "an empty path": opening(grpc_fields("")),
        "connection": opening(grpc_fields("/t.T/Inline", ("connection", "close"))),
        "te of something else": opening([*grpc_fields()[:-1], ("te", "gzip")]),
        "no length": opening(grpc_fields("/t.T/Inline", ("content-length", "x"))),
        "two lengths": opening(
            grpc_fields("/t.T/Inline", ("content-length", "1"), ("content-length", "2"))
        ),
        "less than content-length": lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("content-length", "6")))
            + w.data(1, message())
        ),
        "more than content-length": lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("content-length", "4")))
            + w.data(1, message())
        ),
    },
    ErrorCode.FRAME_SIZE_ERROR: {
        "PRIORITY of four bytes": then(PRIORITY, 0, 1, bytes(4)),
    },
    ErrorCode.FLOW_CONTROL_ERROR: {
        "WINDOW_UPDATE beyond 31 bits": then(WINDOW_UPDATE, 0, 1, word(0x7FFFFFFF)),
    },
}


@pytest.mark.parametrize(
    ("code", "attack"),
    [
        pytest.param(code, attack, id=name)
        for code, rows in STREAM_ERRORS.items()
        for name, attack in rows.items()
    ],
)
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
        reset = wire.read_kind(RST_STREAM, GOAWAY)
        wire.send(wire.request(3, content=b"next"))
        content, _ = wire.response(3)
        may_end.set()

    assert reset.kind == RST_STREAM
    assert (reset.stream_id, reset.error_code) == (1, code)
    assert content == message(b"next")


REFUSALS: dict[str, tuple[int, str, Attack]] = {
    "an unknown path": (
        UNIMPLEMENTED,
        "unknown method /t.T/Nope",
        lambda w: w.request(1, "/t.T/Nope"),
    ),
    "a compressed message": (
        UNIMPLEMENTED,
        "compressed messages are not supported",
        lambda w: w.headers(1) + w.data(1, message(b"x", compressed=1)),
    ),
    "no message": (
        UNIMPLEMENTED,
        "no request message",
        lambda w: w.headers(1, ends=True),
    ),
    "an empty frame for a message": (
        UNIMPLEMENTED,
        "no request message",
        lambda w: w.headers(1) + w.data(1, b""),
    ),
    "two messages": (
        UNIMPLEMENTED,
        "a second request message",
        lambda w: w.headers(1) + w.data(1, message() + message()),
    ),
    "half a message": (
        INTERNAL,
        "the stream ended in the middle of a message",
        lambda w: w.headers(1) + w.data(1, message(b"abc")[:-1]),
    ),
    "a message beyond the limit": (
        RESOURCE_EXHAUSTED,
        "a message of 16777217 bytes is longer than 16777216",
        lambda w: (
            w.headers(1) + w.data(1, struct.pack(">BI", 0, (16 << 20) + 1), ends=False)
        ),
    ),
    "a time-out that cannot be read": (
        INTERNAL,
        "malformed grpc-timeout b'1x'",
        lambda w: (
            w.headers(1, grpc_fields("/t.T/Inline", ("grpc-timeout", "1x")))
            + w.data(1, message())
        ),
    ),
}


@pytest.mark.parametrize(("code", "text", "attack"), REFUSALS.values(), ids=REFUSALS)
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
        reset = wire.read_kind(RST_STREAM)
        wire.send(
            wire.data(1, b"more", ends=False),
            wire.headers(1, [("trailer", "1")], ends=True),
            wire.request(3),
        )
        after = wire.read_kind(RST_STREAM, GOAWAY, HEADERS)

    assert (reset.stream_id, reset.error_code) == (1, ErrorCode.NO_ERROR)
    assert (after.kind, after.stream_id) == (HEADERS, 3)


@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP/1.1"),
        pytest.param(b"\x16\x03\x01\x02\0\x01\0", id="TLS"),
        pytest.param(PREFACE + frames.frame(PING, 0, 0, bytes(8)), id="no SETTINGS"),
        pytest.param(PREFACE + SETTINGS_ACK, id="an answer for SETTINGS"),
        pytest.param(PREFACE + frames.frame(99, 0, 0, b""), id="unknown frame"),
    ],
)
def test_client_that_does_not_speak_http_2_is_sent_away(
    server: Path, greeting: bytes
) -> None:
    with connected(server) as wire:
        wire.send(greeting)
        ends = [f for f in wire.read_all() if f.kind == GOAWAY]

    assert [end.error_code for end in ends] == [ErrorCode.PROTOCOL_ERROR]
    assert is_answering(server)


@pytest.mark.parametrize("size", [0, 5, 24, 30, 40])
def test_client_that_dies_in_its_first_words_is_forgotten(
    server: Path, size: int
) -> None:
    with connected(server) as wire:
        hello = PREFACE + frames.settings({Setting.MAX_FRAME_SIZE: 16384})
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
            frames.frame(SETTINGS, 0, 0, setting(0x0A0A, 7)),
            frames.frame(PING, 0xFE, 0, bytes(8)),
            wire.request(1, content=b"x"),
        )
        content, _ = wire.response(1)

    assert content == message(b"x")


def test_padding_priority_and_continuations_are_understood(server: Path) -> None:
    with greeted(server) as wire:
        block = wire.encoder.encode(grpc_fields())
        wire.send(
            frames.frame(
                HEADERS,
                PADDED | PRIORITIZED,
                1,
                b"\x03" + bytes(5) + block[:7] + bytes(3),
            ),
            frames.frame(CONTINUATION, 0, 1, block[7:9]),
            frames.frame(CONTINUATION, 0, 1, b""),
            frames.frame(CONTINUATION, END_HEADERS, 1, block[9:]),
            frames.frame(PRIORITY, 0, 1, bytes(5)),
            frames.frame(
                DATA,
                PADDED | END_STREAM,
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
        wire.send(frames.frame(PING, 0, 0, b""))
        wire.read_all()

    (record,) = caplog.records
    assert "pid" in record.getMessage()
    assert "PING of 0 bytes" in record.getMessage()
