"""Uploading one blob: in one request, or in chunks that go on after a break.

Source: distribution-spec, "Pushing blobs".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from snapfs.errors import DataLossError, UnavailableError
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.client import Call, Client, location
from snapfs.image.registry.endpoints import origin_of
from snapfs.image.registry.response import Response
from snapfs.image.registry.statuses import refusal
from snapfs.image.source import BlobReader

_RANGE: Final = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")
_BYTES: Final = {"Content-Type": "application/octet-stream"}
# What a host may ask chunks to be at least; they are held in memory.
_LARGEST_CHUNK: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Session:
    """An upload that a host has begun: where its next bytes go."""

    location: str
    least_chunk_bytes: int = 0


class Upload:
    """One blob on its way to one host."""

    def __init__(
        self,
        client: Client,
        repository: str,
        descriptor: Descriptor,
        open_at: Callable[[int], BlobReader],
        chunk_bytes: int,
    ) -> None:
        self._client = client
        self._repository = repository
        self._descriptor = descriptor
        self._feed = _Feed(open_at, descriptor)
        self._chunk_bytes = chunk_bytes
        self._what = f"the upload of {descriptor.digest} to {repository!r}"

    def begin(self, mount_from: str = "") -> Session | None:
        """Begin the upload; None if the blob was mounted from ``mount_from``."""
        query: tuple[tuple[str, str], ...] = ()
        if mount_from:
            query = (("mount", str(self._descriptor.digest)), ("from", mount_from))
        target = f"{self._repository}/blobs/uploads/"
        scopes = _scopes(self._repository, mount_from)
        response = self._client.send(
            Call("POST", target, scopes, query=query, body=b"")
        )
        if response.status == 201 and mount_from:
            response.close()
            return None
        self._expect(response, 202)
        least_bytes = response.number("OCI-Chunk-Min-Length") or 0
        return Session(
            self._next_location(response, ""), min(least_bytes, _LARGEST_CHUNK)
        )

    def send(self, session: Session) -> None:
        """Send the whole blob and end the upload.

        Raises:
            DigestMismatchError: The host got other content than the digest names.
            DataLossError: The blob is shorter than its descriptor says.
            UnavailableError: The host cannot be reached, after all repeats.
        """
        size = self._descriptor.size_bytes
        chunk = max(self._chunk_bytes, session.least_chunk_bytes)
        try:
            if size <= chunk:
                self._finish(session.location, self._feed.read(0, size))
            else:
                self._finish(self._send_chunks(session.location, size, chunk), b"")
        finally:
            self._feed.close()

    def _send_chunks(self, where: str, size: int, chunk_bytes: int) -> str:
        position = breaks = 0
        transport = self._client.transport
        while position < size:
            chunk = self._feed.read(position, min(chunk_bytes, size - position))
            try:
                where, reached = self._send_chunk(where, position, chunk)
            except UnavailableError:
                breaks += 1
                if breaks >= transport.attempts:
                    raise
                transport.pause(transport.back_off_s(breaks))
                where, reached = self._status(where)
            if reached > position + len(chunk):
                raise DataLossError(
                    f"{self._what}: {self._client.host!r} says it has {reached} "
                    f"bytes, and was sent {position + len(chunk)}"
                )
            breaks = 0 if reached > position else breaks
            position = reached
        return where

    def _send_chunk(self, where: str, position: int, chunk: bytes) -> tuple[str, int]:
        end = position + len(chunk)
        headers = {**_BYTES, "Content-Range": f"{position}-{end - 1}"}
        call = self._call("PATCH", where, headers, chunk)
        response = self._client.send(call)
        if response.status == 416:  # it has more, or less, than we think
            response.close()
            raise UnavailableError(f"{self._what}: chunk at {position} refused")
        self._expect(response, 202)
        return self._next_location(response, where), _reached(response, end)

    def _status(self, where: str) -> tuple[str, int]:
        response = self._client.send(self._call("GET", where))
        self._expect(response, 204)
        return self._next_location(response, where), _reached(response, 0)

    def _finish(self, where: str, body: bytes) -> None:
        mark = "&" if "?" in where else "?"
        target = f"{where}{mark}digest={self._descriptor.digest}"
        response = self._client.send(self._call("PUT", target, _BYTES, body))
        self._expect(response, 201)

    def _call(
        self,
        method: str,
        where: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Call:
        scopes = _scopes(self._repository, "")
        repeatable = method == "GET"
        return Call(
            method, where, scopes, headers or {}, body=body, is_repeatable=repeatable
        )

    def _expect(self, response: Response, status: int) -> None:
        if response.status != status:
            raise refusal(response, self._client.host, self._what)
        response.close()

    def _next_location(self, response: Response, before: str) -> str:
        found = location(response) or before
        if not found:
            raise UnavailableError(
                f"{self._what}: {self._client.host!r} does not say where to send it"
            )
        home = self._client.endpoint.origin
        if home.scheme == "https" and origin_of(found).scheme == "http":
            raise UnavailableError(
                f"{self._what}: {self._client.host!r} wants it over plain http; that "
                "is refused"
            )
        return found


class _Feed:
    """The blob's bytes at any position, most often at the one after the last."""

    def __init__(
        self, open_at: Callable[[int], BlobReader], descriptor: Descriptor
    ) -> None:
        self._open_at = open_at
        self._descriptor = descriptor
        self._reader: BlobReader | None = None
        self._position = 0

    def read(self, position: int, size_bytes: int) -> bytes:
        """Return exactly the bytes asked for."""
        if self._reader is None or self._position != position:
            self.close()
            self._reader = self._open_at(position)
            self._position = position
        content = bytearray()
        while len(content) < size_bytes:
            piece = self._reader.read(size_bytes - len(content))
            if not piece:
                raise DataLossError(
                    f"blob {self._descriptor.digest} ends after "
                    f"{position + len(content)} of {self._descriptor.size_bytes} bytes"
                )
            content += piece
        self._position += size_bytes
        return bytes(content)

    def close(self) -> None:
        """Close the reader that is open, if any."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _reached(response: Response, default: int) -> int:
    match = _RANGE.fullmatch(response.headers.get("Range", ""))
    if match is None:
        return default
    # "0-0" is what hosts say of an empty upload, too: then send the byte again.
    return int(match.group(1)) + 1 if match.group(1) != "0" else 0


def _scopes(repository: str, mount_from: str) -> tuple[str, ...]:
    own = f"repository:{repository}:pull,push"
    return (own, f"repository:{mount_from}:pull") if mount_from else (own,)
