"""Both ends of snapfs.rpc for tests: a server to talk to, and raw frames to talk in."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

import hpack

from snapfs.rpc import frames
from snapfs.rpc.calls import CallContext, Handler, StreamHandler
from snapfs.rpc.server import RpcServer, listen

# Longer than anything takes here; it only keeps a broken test from hanging.
PATIENCE_S = 20.0

OF_A_CLIENT = ("snapfs-rpc-client", "snapfs-rpc-cancel")

Fields = list[tuple[str, str]]


def echo(request: bytes, _: CallContext) -> bytes:
    return request


def count(request: bytes, _: CallContext) -> Iterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


UNARY: Mapping[str, Handler] = {"/t.T/Inline": echo, "/t.T/Pool": echo}
STREAMS: Mapping[str, StreamHandler] = {"/t.T/Count": count}


def threads_of_rpc() -> list[str]:
    """Return the names of the transport's threads that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith("snapfs-")]


@contextlib.contextmanager
def serving(
    path: object,
    unary: Mapping[str, Handler] = UNARY,
    streams: Mapping[str, StreamHandler] = STREAMS,
    *,
    workers: int = 4,
    max_connections: int = 256,
    max_message_bytes: int = 16 << 20,
    send_timeout_s: float = PATIENCE_S,
) -> Iterator[RpcServer]:
    """Serve until the end of the block; then nothing is left, not even a thread."""
    before = set(threading.enumerate())
    server = RpcServer(
        listen(str(path)),
        unary,
        streams,
        inline=[path for path in unary if path.endswith("Inline")],
        workers=workers,
        max_connections=max_connections,
        max_message_bytes=max_message_bytes,
        send_timeout_s=send_timeout_s,
    )
    server.start()
    try:
        yield server
    finally:
        drained = server.stop(PATIENCE_S)
    assert drained
    left = {t.name for t in threading.enumerate() if t not in before}
    # A client of ours needs a moment to notice that its server is gone.
    assert not [n for n in left if n.startswith("snapfs-") and n not in OF_A_CLIENT]


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def ends(self) -> bool:
        return bool(self.flags & frames.END_STREAM)

    @property
    def error_code(self) -> int:
        """The code of a RST_STREAM or GOAWAY frame."""
        at = 4 if self.kind == frames.GOAWAY else 0
        return int(struct.unpack_from(">I", self.payload, at)[0])


def grpc_fields(path: str = "/t.T/Inline", *more: tuple[str, str]) -> Fields:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]


def message(content: bytes = b"", *, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(content)) + content


class Wire:
    """One end of a connection, frame by frame; it keeps no rule unless asked."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self._rest = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def headers(
        self,
        stream_id: int,
        fields: Fields | None = None,
        *,
        ends: bool = False,
        flags: int = frames.END_HEADERS,
    ) -> bytes:
        block = self.encoder.encode(grpc_fields() if fields is None else fields)
        flags |= frames.END_STREAM if ends else 0
        return frames.frame(frames.HEADERS, flags, stream_id, block)

    def data(self, stream_id: int, content: bytes, *, ends: bool = True) -> bytes:
        flags = frames.END_STREAM if ends else 0
        return frames.frame(frames.DATA, flags, stream_id, content)

    def request(
        self, stream_id: int, path: str = "/t.T/Inline", content: bytes = b""
    ) -> bytes:
        return self.headers(stream_id, grpc_fields(path)) + self.data(
            stream_id, message(content)
        )

    def read(self) -> Frame | None:
        """Read a frame; None at the end, also if that is a broken connection."""
        head = self._read_exactly(frames.HEAD_SIZE)
        if head is None:
            return None
        high, low, kind, flags, stream_id = frames.HEAD.unpack(head)
        payload = self._read_exactly(high << 8 | low)
        return None if payload is None else Frame(kind, flags, stream_id, payload)

    def read_all(self) -> list[Frame]:
        """Read frames until the end."""
        return list(iter(self.read, None))

    def read_kind(self, *kinds: int) -> Frame:
        """Read up to a frame of one of these types."""
        while (frame := self.read()) is not None:
            if frame.kind in kinds:
                return frame
        raise AssertionError(f"the connection ended before a frame of type {kinds}")

    def read_fields(self, frame: Frame) -> dict[str, str]:
        return {
            _text(name): _text(value)
            for name, value in self.decoder.decode(frame.payload)
        }

    def response(self, stream_id: int) -> tuple[bytes, dict[str, str]]:
        """Read the response on a stream; return its content and all its headers."""
        content = b""
        fields: dict[str, str] = {}
        while True:
            frame = self.read_kind(frames.HEADERS, frames.DATA, frames.RST_STREAM)
            if frame.kind == frames.HEADERS:
                got = self.read_fields(frame)
            if frame.stream_id != stream_id:
                continue
            assert frame.kind != frames.RST_STREAM, frame
            if frame.kind == frames.HEADERS:
                fields |= got
            else:
                content += frame.payload
            if frame.ends:
                return content, fields

    def ping(self, token: bytes = b"are here") -> None:
        """Ask for a sign of life and wait for it."""
        self.send(frames.frame(frames.PING, 0, 0, token))
        assert self.read_kind(frames.PING).payload == token

    def _read_exactly(self, size: int) -> bytes | None:
        while len(self._rest) < size:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:  # it was closed with something unread
                more = b""
            if not more:
                return None
            self._rest += more
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def connected(path: object) -> Wire:
    """Return a raw connection that has said nothing."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(path))
    except BaseException:
        sock.close()
        raise
    return Wire(sock)


def greeted(path: object, settings: Mapping[frames.Setting, int] | None = None) -> Wire:
    """Return a raw connection on which both sides have sent their settings."""
    wire = connected(path)
    wire.send(frames.PREFACE, frames.settings(settings or {}))
    while True:
        frame = wire.read_kind(frames.SETTINGS)
        if frame.flags & frames.ACK:
            break
        wire.send(frames.SETTINGS_ACK)
    return wire


def is_answering(path: object) -> bool:
    """Return whether a server still answers on a new connection."""
    with greeted(path) as wire:
        wire.send(wire.request(1, content=b"alive"))
        return wire.response(1)[0] == message(b"alive")


def kinds(found: Iterable[Frame]) -> list[int]:
    return [frame.kind for frame in found]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
