"""An HTTP proxy on a loopback port: it forwards, tunnels, and keeps a record."""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

_HOP: Final = frozenset({"proxy-authorization", "proxy-connection", "connection"})
_PIECE: Final = 64 << 10


class ProxyServer:
    """A running proxy.

    Attributes:
        port: Where it listens.
        ports: Where on this machine the hosts are that it is asked for, by name.
        login: The only ``user:password`` that it serves; "" for everybody.
        seen: Each request: its method, and the host and port that it asked for.
        headers: What came along with each.
        ranges: What ``Range`` headers said.
        paths: Those of what was forwarded.
        statuses: Answers to the next requests, instead of what the host says.
        cuts: Bytes after which a connection is cut, one for each answer as long.
        stall: While it is clear, an answer stops there instead of being cut.
        silent_about: While ``stall`` is clear, no answer comes to paths with this.
        stalled: Is set as soon as one has come to such a place.
    """

    def __init__(self, ports: Mapping[str, int], login: str = "") -> None:
        self.ports = dict(ports)
        self.login = login
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.ranges: list[str] = []
        self.paths: list[str] = []
        self.statuses: deque[int] = deque()
        self.cuts: deque[int] = deque()
        self.silent_about = ""
        self.stall = threading.Event()
        self.stall.set()
        self.stalled = threading.Event()
        handler = type("_Bound", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.stall.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextlib.contextmanager
def proxy_server(ports: Mapping[str, int], login: str = "") -> Iterator[ProxyServer]:
    """Run a proxy for the time of the block."""
    proxy = ProxyServer(ports, login)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # tunnels of clients that are still there

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    proxy: ProxyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if not self._admits(parts.netloc):
            return
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP}
        self.proxy.paths.append(parts.path)
        silent = self.proxy.silent_about
        if silent and silent in parts.path and not self.proxy.stall.is_set():
            self.proxy.stalled.set()
            self.proxy.stall.wait()
        port = self.proxy.ports[parts.netloc]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as up:
            up.request(self.command, target, headers=headers)
            answer = up.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self._hand_on(answer)

    def _hand_on(self, answer: http.client.HTTPResponse) -> None:
        proxy, sent = self.proxy, 0
        is_long = proxy.cuts and (answer.length or 0) > proxy.cuts[0]
        cut = proxy.cuts.popleft() if is_long else -1
        while piece := answer.read(_PIECE):
            if cut >= 0 and sent + len(piece) > cut:
                self.wfile.write(piece[: cut - sent])
                self.wfile.flush()
                proxy.stalled.set()
                if not proxy.stall.is_set():
                    proxy.stall.wait()
                self.close_connection = True
                with contextlib.suppress(OSError):  # the client may have gone first
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(piece)
            sent += len(piece)

    do_HEAD = do_GET  # noqa: N815

    def do_CONNECT(self) -> None:
        if not self._admits(self.path):
            return
        place = ("127.0.0.1", self.proxy.ports[self.path])
        with socket.create_connection(place) as upstream:
            self.send_response(200)
            self.end_headers()
            _join(self.connection, upstream)
        self.close_connection = True

    def _admits(self, host: str) -> bool:
        self.proxy.seen.append((self.command, host))
        self.proxy.headers.append(dict(self.headers))
        login = self.proxy.login
        wanted = "Basic " + base64.b64encode(login.encode()).decode()
        if self.proxy.statuses:
            self._refuse(self.proxy.statuses.popleft())
            return False
        if login and self.headers.get("Proxy-Authorization") != wanted:
            self._refuse(407)
            return False
        if "Range" in self.headers:
            self.proxy.ranges.append(self.headers["Range"])
        return True

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Retry-After", "0")
        self.end_headers()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Hand on what either says, until one has ended."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            piece = ready.recv(_PIECE)
            if not piece:
                return
            (other if ready is one else one).sendall(piece)
