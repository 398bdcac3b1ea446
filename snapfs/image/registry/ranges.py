"""Reading a part of a blob, on and on, over connections that break.

Sources: distribution-spec, "Pulling blobs"; RFC 9110, section 14 (ranges).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from snapfs.digest import Digest
from snapfs.errors import DataLossError, UnavailableError
from snapfs.image.registry.client import Call, Client
from snapfs.image.registry.endpoints import shown_url
from snapfs.image.registry.response import Response
from snapfs.image.registry.statuses import refusal

_CONTENT_RANGE: Final = re.compile(
    r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)"
)
# Read at once: small enough that little is lost when a connection breaks.
_PIECE: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob in a repository of a registry."""

    repository: str
    digest: Digest
    size_bytes: int

    def __str__(self) -> str:
        """Return what messages call it."""
        return f"blob {self.digest} of {self.repository!r}"


@dataclass(frozen=True, slots=True)
class OpenedRange:
    """An answer whose body starts at byte ``position`` of the blob."""

    response: Response
    position: int
    host: Client

    @property
    def is_partial(self) -> bool:
        """Return whether the host serves ranges; False says it sends everything."""
        return self.response.status == 206


class Opener(Protocol):
    """The seam between readers and hosts: opens byte ranges of one blob."""

    @property
    def blob(self) -> Blob:
        """The blob."""

    def open_at(self, start: int, end: int) -> OpenedRange:
        """Open the bytes from ``start`` up to ``end``, or up to an earlier one.

        Raises:
            SnapfsError: As :func:`open_range`, for the last host asked.
        """

    def give_up(self, host: Client) -> bool:
        """Ask ``host`` no more; return False if there is no other."""


def open_range(client: Client, blob: Blob, start: int, end: int) -> OpenedRange:
    """Ask one host for the bytes from ``start`` up to ``end`` of a blob.

    Raises:
        NotFoundError: The host does not have it.
        DataLossError: It has another size there, or the answer is of other bytes.
        UnavailableError: No answer.
        SnapfsError: As the host's refusal says.
    """
    headers = {}
    if start > 0 or end < blob.size_bytes:
        headers["Range"] = f"bytes={start}-{end - 1}"
    target = f"{blob.repository}/blobs/{blob.digest}"
    scopes = (f"repository:{blob.repository}:pull",)
    response = client.send(Call("GET", target, scopes, headers))
    if response.status not in (200, 206):
        if response.status == 416:
            response.close()
            raise DataLossError(
                f"{blob} at {client.host!r} ends before byte {start}; "
                f"it should have {blob.size_bytes} bytes"
            )
        raise refusal(response, client.host, str(blob))
    try:
        position = _position(response, blob, start, end)
    except DataLossError:
        response.close()
        raise
    return OpenedRange(response, position, client)


def _position(response: Response, blob: Blob, start: int, end: int) -> int:
    where = shown_url(response.url)
    if response.status == 200:
        length = response.content_length
        if length is not None and length != blob.size_bytes:
            raise DataLossError(
                f"{blob} has {length} bytes at {where!r}; "
                f"it should have {blob.size_bytes}"
            )
        return 0
    text = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise DataLossError(f"{blob}: {where!r} sent a part without saying which")
    first, last, total = match.groups()
    if total not in ("*", str(blob.size_bytes)):
        raise DataLossError(
            f"{blob} has {total} bytes at {where!r}; it should have {blob.size_bytes}"
        )
    if int(first) != start or not start <= int(last) < end:
        raise DataLossError(
            f"{blob}: {where!r} sent bytes {first}-{last} instead of {start}-{end - 1}"
        )
    return start


class RangeReader:
    """The bytes from ``start`` up to ``end``, asked for again after each break.

    A BlobReader. A host that has no ranges sends everything again, and what was
    read is skipped. Breaks count only while nothing is gained between them.
    """

    def __init__(
        self, opener: Opener, start: int, end: int, opened: OpenedRange | None = None
    ) -> None:
        self._opener = opener
        self._position = start
        self._end = end
        self._opened = opened
        self._skip = start - opened.position if opened else 0
        # Where the present answer was asked for: an empty one is no gain.
        self._started = start
        self._breaks = 0
        # Held while is decided who lets go of the answer: the reading thread, or close.
        self._lock = threading.Lock()
        self._closed = False
        self._is_reading = False

    def read(self, size_bytes: int, /) -> bytes:
        """Return up to ``size_bytes`` further bytes; b"" at the end.

        Raises:
            SnapfsError: As :func:`open_range`; also when connections break again
                and again at the same byte.
        """
        wanted = min(size_bytes, self._end - self._position, _PIECE)
        while wanted > 0:
            if self._closed:
                raise self._was_closed()
            opened = self._opened or self._open()
            try:
                with self._reading():
                    piece = self._read_on(opened, wanted)
            except UnavailableError as error:
                self._after_break(opened, error)
                continue
            if piece:
                self._position += len(piece)
                self._breaks = 0
                return piece
            self._drop()  # a host may answer with less than was asked for
        return b""

    def close(self) -> None:
        """Let go of the connection; a read of another thread ends with an error."""
        with self._lock:
            self._closed = True
            is_reading = self._is_reading
        opened = self._opened
        if opened is not None and self._position < self._end:
            opened.response.abort()  # what is not wanted is not waited for
        if not is_reading:  # else that thread lets go: closing would wait for its bytes
            self._drop()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Have the answer to oneself: whoever closes the reader leaves it alone."""
        try:
            with self._lock:
                is_closed = self._closed
                self._is_reading = not is_closed
            if is_closed:
                raise self._was_closed()
            yield
        finally:
            with self._lock:
                self._is_reading = False
                is_closed = self._closed
            if is_closed:
                self._drop()
        if is_closed:
            raise self._was_closed()

    def _was_closed(self) -> UnavailableError:
        return UnavailableError(f"{self._opener.blob}: the reader was closed")

    def _open(self) -> OpenedRange:
        opened = self._opener.open_at(self._position, self._end)
        self._opened = opened
        self._skip = self._position - opened.position
        self._started = self._position
        return opened

    def _read_on(self, opened: OpenedRange, wanted: int) -> bytes:
        while self._skip > 0:
            skipped = opened.response.read(min(self._skip, _PIECE))
            if not skipped:
                raise self._short(opened)
            self._skip -= len(skipped)
        piece = opened.response.read(wanted)
        if not piece and self._position == self._started:
            raise self._short(opened)
        return piece

    def _short(self, opened: OpenedRange) -> UnavailableError:
        return UnavailableError(
            f"registry host {opened.host.host!r}: the answer ended at byte "
            f"{self._position} of {self._opener.blob.size_bytes}"
        )

    def _after_break(self, opened: OpenedRange, error: UnavailableError) -> None:
        self._drop()
        self._breaks += 1
        transport = opened.host.transport
        if self._closed or self._breaks >= transport.attempts:
            if self._closed or not self._opener.give_up(opened.host):
                raise UnavailableError(
                    f"{self._opener.blob}: broken off at byte {self._position} "
                    f"{self._breaks} times; {error}"
                ) from error
            self._breaks = 0
            return
        transport.pause(transport.back_off_s(self._breaks))

    def _drop(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.response.close()
