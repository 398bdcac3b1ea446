"""One answer of a server, read in bounded pieces."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Final

import urllib3
import urllib3.exceptions

from snapfs.errors import ResourceExhaustedError, UnavailableError
from snapfs.image.registry.endpoints import shown_url
from snapfs.image.registry.failures import unavailable

_PIECE: Final = 64 << 10
# What is read to the end so that its connection can be used again.
_WORTH_READING: Final = 16 << 10
# int() refuses thousands of digits.
_DIGITS: Final = 40
# A server that hands out a small document byte by byte is not waited for.
_DOCUMENT_DEADLINE_S: Final = 120.0


class Response:
    """Status, headers and the unread body of an answer; whoever gets it closes it."""

    def __init__(self, url: str, raw: urllib3.BaseHTTPResponse) -> None:
        self.url = url
        self.status = raw.status
        self._raw = raw

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers; names in any case, repeated ones joined by commas."""
        return self._raw.headers

    @property
    def content_length(self) -> int | None:
        """Return the length that the server announced; None if it did not."""
        return self.number("Content-Length")

    def number(self, name: str) -> int | None:
        """Return the number that a header is; None if it is not there, or none.

        Of a number with more digits than any has, a part that is large enough.
        """
        text = self._raw.headers.get(name, "")
        if not (text.isascii() and text.isdigit()):
            return None
        return int(text.lstrip("0")[:_DIGITS] or "0")

    def header_lines(self, name: str) -> list[str]:
        """Return each line of a header that may be repeated."""
        return self._raw.headers.getlist(name)

    def read(self, size_bytes: int) -> bytes:
        """Return up to ``size_bytes`` further bytes of the body; b"" at its end.

        Raises:
            UnavailableError: The connection broke or fell silent.
        """
        try:
            return self._raw.read(size_bytes)
        except urllib3.exceptions.HTTPError as error:
            raise unavailable(self.url, error) from error

    def read_document(self, limit_bytes: int) -> bytes:
        """Return the whole body, and close the answer.

        Raises:
            ResourceExhaustedError: It is longer than ``limit_bytes``.
            UnavailableError: The connection broke, or the server is too slow.
        """
        deadline = time.monotonic() + _DOCUMENT_DEADLINE_S
        content = bytearray()
        try:
            while piece := self.read(min(_PIECE, limit_bytes + 1 - len(content))):
                content += piece
                if len(content) > limit_bytes:
                    raise ResourceExhaustedError(
                        f"{shown_url(self.url)!r} is larger than {limit_bytes} bytes"
                    )
                if time.monotonic() > deadline:
                    raise UnavailableError(f"{shown_url(self.url)!r} comes too slowly")
        finally:
            self.close()
        return bytes(content)

    def abort(self) -> None:
        """Wake a thread that waits for the body; it sees the connection break."""
        # Neither is an error: the connection is done with already.
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            self._raw.shutdown()

    def close(self) -> None:
        """Let go of the connection; it is kept for later if little is unread."""
        unread = self._raw.length_remaining
        try:
            if unread is not None and 0 <= unread <= _WORTH_READING:
                self._raw.read()
        except urllib3.exceptions.HTTPError:
            self._raw.close()  # it broke: no loss, nobody wants the rest
        if not self._raw.closed:
            self._raw.close()
        self._raw.release_conn()
