"""A registry in this process that misbehaves on demand, and keeps a record.

It serves real content over the distribution API on a loopback port. Each way to
misbehave is an attribute; the record of requests says what a client sent where.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"

_WRITE: Final = 16 << 10


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One request that a client sent."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass(slots=True)
class Misbehaviour:
    """What goes wrong; the defaults are a well-behaved registry.

    Attributes:
        statuses: Answers to the next requests, instead of the right ones.
        retry_after: Sent along with those.
        basic: The only ``user:password`` that is let in, by Basic.
        bearer: Tokens are demanded; they come from ``realm`` or our own ``/token``.
        token_user: The only ``user:password`` that gets a token.
        identity_token: The only refresh token that gets a token.
        expires_in: What tokens are said to live.
        challenge: The whole header instead of the right one.
        cuts: Body bytes after which a blob's connection is cut, one for each answer.
        has_ranges: False sends everything with 200.
        content_range: Sent instead of the right one.
        announced_length: A blob's ``Content-Length``, whatever it has.
        wrong_blobs: Blobs have their first byte changed.
        announced_digest: ``Docker-Content-Digest``, whatever it is; "" for none.
        redirect_to: Where blobs are, as a base URL.
        locations: ``Location`` of the next answers to blobs.
        stall: While clear, blobs stop after their headers.
        content_type: Of manifests, whatever they are.
        knows_head: False refuses HEAD with 405.
        keeps: Bytes of each chunk of an upload that are kept before the
            connection is cut; one entry for each such chunk.
        mounts: Mounting works.
        stored_digest: What a pushed manifest is said to have.
    """

    statuses: deque[int] = dataclasses.field(default_factory=deque)
    retry_after: str = ""
    basic: str = ""
    bearer: bool = False
    realm: str = ""
    token_user: str = ""
    identity_token: str = ""
    expires_in: int = 300
    challenge: str = ""
    cuts: deque[int] = dataclasses.field(default_factory=deque)
    has_ranges: bool = True
    content_range: str = ""
    announced_length: int | None = None
    wrong_blobs: bool = False
    announced_digest: str | None = None
    redirect_to: str = ""
    locations: deque[str] = dataclasses.field(default_factory=deque)
    stall: threading.Event | None = None
    content_type: str = ""
    knows_head: bool = True
    keeps: deque[int] = dataclasses.field(default_factory=deque)
    mounts: bool = False
    stored_digest: str = ""


def digest_of(content: bytes) -> str:
    """Return the sha256 digest of ``content`` as text."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class HostileRegistry:
    """A running registry; ``close`` ends its threads and connections."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.does = Misbehaviour()
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self.seen: list[Seen] = []
        self.blob_bytes_sent = 0
        self.tokens: set[str] = set()
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        handler = type("_Bound", (_Handler,), {"registry": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.scheme = "https" if tls else "http"
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def add_blob(self, content: bytes) -> str:
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def add_manifest(
        self, repository: str, tag: str, content: bytes, kind: str = OCI_MANIFEST
    ) -> str:
        digest = digest_of(content)
        for reference in (tag, digest):
            self.manifests[repository, reference] = (kind, content)
        return digest

    def requests(self, method: str, part: str = "") -> list[Seen]:
        """Return the recorded requests whose path holds ``part``."""
        with self.lock:
            return [
                one
                for one in self.seen
                if (one.method, part in one.path) == (method, True)
            ]

    def close(self) -> None:
        if self.does.stall is not None:
            self.does.stall.set()
        self._server.shutdown()
        self._thread.join()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):  # it has ended already
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # joins the threads of the connections


@contextlib.contextmanager
def hostile_registry(tls: ssl.SSLContext | None = None) -> Iterator[HostileRegistry]:
    """Run a registry for the time of the block."""
    registry = HostileRegistry(tls)
    try:
        yield registry
    finally:
        registry.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that go away are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    registry: HostileRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.registry.lock:
            self.registry.connections.add(self.connection)

    def finish(self) -> None:
        with self.registry.lock:
            self.registry.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.query = parse_qs(parts.query)
        self.body = body
        seen = Seen(self.command, parts.path, self.query, dict(self.headers), body)
        does = self.registry.does
        with self.registry.lock:
            self.registry.seen.append(seen)
            status = does.statuses.popleft() if does.statuses else 0
        if status:
            after = {"Retry-After": does.retry_after} if does.retry_after else {}
            self._refuse(status, "TESTED", "as the test wants", after)
        elif parts.path == "/token":
            self._serve_token()
        elif self._is_let_in():
            self._route(parts.path)

    # --- logins ---------------------------------------------------------------

    def _is_let_in(self) -> bool:
        does, given = self.registry.does, self.headers.get("Authorization", "")
        if does.basic and given != _basic(does.basic):
            self._challenge('Basic realm="test"')
            return False
        if does.bearer and given.removeprefix("Bearer ") not in self.registry.tokens:
            realm = does.realm or f"{self.registry.url}/token"
            self._challenge(f'Bearer realm="{realm}",service="test registry"')
            return False
        return True

    def _challenge(self, header: str) -> None:
        header = self.registry.does.challenge or header
        headers = {"WWW-Authenticate": header}
        self._refuse(401, "UNAUTHORIZED", "log in first", headers)

    def _serve_token(self) -> None:
        does = self.registry.does
        if self.command == "POST":
            form = parse_qs(self.body.decode())
            fine = form.get("refresh_token") == [does.identity_token]
            scope = " ".join(form.get("scope", []))
        else:
            given = self.headers.get("Authorization", "")
            fine = not does.token_user or given == _basic(does.token_user)
            scope = " ".join(self.query.get("scope", []))
        if not fine:
            self._refuse(401, "DENIED", "no such user")
            return
        with self.registry.lock:
            token = f"token{len(self.registry.tokens)}.{scope}".replace(" ", "+")
            self.registry.tokens.add(token)
        answer = {"token": token, "expires_in": does.expires_in}
        self._send(200, json.dumps(answer).encode())

    # --- content --------------------------------------------------------------

    def _route(self, path: str) -> None:
        upload = re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", path)
        found = re.fullmatch(r"(?:/v2)?/(.+)/(manifests|blobs)/([^/]+)", path)
        if upload:
            self._serve_upload(upload[1], upload[2])
        elif found and found[2] == "blobs":
            self._serve_blob(found[3])
        elif found and self.command == "PUT":
            self._store_manifest(found[1], found[3])
        elif found:
            self._serve_manifest(found[1], found[3])
        else:
            self._refuse(404, "NOT_FOUND", "no such page")

    def _serve_manifest(self, repository: str, reference: str) -> None:
        does = self.registry.does
        if self.command == "HEAD" and not does.knows_head:
            self._refuse(405, "UNSUPPORTED", "no HEAD here")
            return
        found = self.registry.manifests.get((repository, reference))
        if found is None:
            self._refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kind, content = found
        announced = does.announced_digest
        digest = digest_of(content) if announced is None else announced
        headers = {"Content-Type": does.content_type or kind}
        if digest:
            headers["Docker-Content-Digest"] = digest
        self._send(200, content, headers)

    def _serve_blob(self, digest: str) -> None:
        does = self.registry.does
        content = self.registry.blobs.get(digest)
        with self.registry.lock:
            target = does.locations.popleft() if does.locations else ""
        if not target and does.redirect_to:
            target = f"{does.redirect_to}/stored/blobs/{digest}?signature=secret"
        if target:
            self._send(307, b"", {"Location": target})
        elif content is None:
            self._refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        else:
            if does.wrong_blobs:
                content = bytes([content[0] ^ 1]) + content[1:]
            self._serve_content(content)

    def _serve_content(self, content: bytes) -> None:
        does = self.registry.does
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None or not does.has_ranges:
            self._send(200, content, is_blob=True)
            return
        first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
        if first >= len(content):
            self._send(416, b"")
            return
        shown = does.content_range or f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        self._send(206, part, {"Content-Range": shown}, is_blob=True)

    # --- uploads --------------------------------------------------------------

    def _store_manifest(self, repository: str, reference: str) -> None:
        kind = self.headers.get("Content-Type", "")
        digest = self.registry.add_manifest(repository, reference, self.body, kind)
        digest = self.registry.does.stored_digest or digest
        self._send(201, b"", {"Docker-Content-Digest": digest})

    def _serve_upload(self, repository: str, name: str) -> None:
        registry = self.registry
        where = f"/v2/{repository}/blobs/uploads/"
        if self.command == "POST":
            if registry.does.mounts and "mount" in self.query:
                self._send(201, b"")
                return
            name = f"upload{len(registry.uploads)}"
            registry.uploads[name] = b""
            self._send(202, b"", {"Location": f"{where}{name}?state=1"})
        elif self.command == "PATCH":
            self._store_chunk(where, name)
        elif self.command == "GET":
            self._send(204, b"", self._progress(where, name))
        else:
            registry.uploads[name] += self.body
            content = registry.uploads[name]
            if self.query["digest"] != [digest_of(content)]:
                self._refuse(400, "DIGEST_INVALID", "digest did not match content")
                return
            registry.blobs[digest_of(content)] = content
            self._send(201, b"")

    def _store_chunk(self, where: str, name: str) -> None:
        registry = self.registry
        start = int(self.headers["Content-Range"].partition("-")[0])
        if start != len(registry.uploads[name]):
            self._send(416, b"", self._progress(where, name))
        elif registry.does.keeps:
            registry.uploads[name] += self.body[: registry.does.keeps.popleft()]
            self._cut()
        else:
            registry.uploads[name] += self.body
            self._send(202, b"", self._progress(where, name))

    def _progress(self, where: str, name: str) -> dict[str, str]:
        last = max(len(self.registry.uploads[name]) - 1, 0)
        return {"Location": f"{where}{name}?state=2", "Range": f"0-{last}"}

    # --- answers --------------------------------------------------------------

    def _refuse(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        faults = {"errors": [{"code": code, "message": message}]}
        self._send(status, json.dumps(faults).encode(), headers)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        is_blob: bool = False,
    ) -> None:
        does = self.registry.does
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        length = len(body)
        if is_blob and does.announced_length is not None:
            length = does.announced_length
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "HEAD":
            return
        if is_blob:
            self._send_blob(body)
        else:
            self.wfile.write(body)

    def _send_blob(self, body: bytes) -> None:
        registry = self.registry
        with registry.lock:
            cut = registry.does.cuts.popleft() if registry.does.cuts else len(body)
        if registry.does.stall is not None:
            registry.does.stall.wait()
        for start in range(0, min(cut, len(body)), _WRITE):
            piece = body[start : min(start + _WRITE, cut)]
            with registry.lock:  # first: the client may look as soon as it has them
                registry.blob_bytes_sent += len(piece)
            self.wfile.write(piece)
        if cut < len(body) or registry.does.announced_length is not None:
            self._cut()

    def _cut(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have gone first
            self.connection.shutdown(socket.SHUT_RDWR)


def _basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()
