"""HTTP to one host and to where it redirects: timeouts and repeats.

urllib3 keeps the connections. Redirects and logins are not its business here: what
is sent where is decided by :mod:`snapfs.image.registry.client`.
"""

from __future__ import annotations

import email.utils
import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import urllib3
import urllib3.exceptions

from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.image.registry.connections import Connections
from snapfs.image.registry.endpoints import TlsSettings, shown_url
from snapfs.image.registry.failures import is_passing, unavailable
from snapfs.image.registry.proxies import Proxies
from snapfs.image.registry.response import Response
from snapfs.image.registry.waits import Waits

_TOO_MANY_REQUESTS: Final = 429
_PASSING_STATUSES: Final = frozenset({500, 502, 503, 504})

# At level DEBUG urllib3 logs whole addresses, and with them the signatures that
# storage services take for a password.
_URLLIB3_LOGGER: Final = "urllib3.connectionpool"

_BASE_HEADERS: Final = {
    "User-Agent": "snapfs",
    # The stored bytes are wanted: digests and ranges are of those.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a host is waited for.

    Attributes:
        attempts: Of one request, the first included.
        first_wait_s: Before the second attempt; doubled before each further one.
        longest_wait_s: The most that is waited of our own accord.
        longest_retry_after_s: The most that is waited because the host asks.
        connect_timeout_s: For a connection and its TLS handshake to come about.
        read_timeout_s: Of silence.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 15.0
    longest_retry_after_s: float = 90.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes out.

    Attributes:
        is_repeatable: Doing it twice does what doing it once does.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    is_repeatable: bool = True


class Transport:
    """Sends requests to a host (``own``) and to hosts that it refers to.

    Those others are met with the same authorities, but never with our client
    certificate, and their own certificates are always verified. Any number of
    threads may send at once; ``close`` ends the waits of all.
    """

    def __init__(self, tls: TlsSettings, patience: Patience, proxies: Proxies) -> None:
        self._patience = patience
        self._closed = threading.Event()
        self._waits = Waits()
        logging.getLogger(_URLLIB3_LOGGER).setLevel(logging.INFO)
        timeout = urllib3.Timeout(
            connect=patience.connect_timeout_s, read=patience.read_timeout_s
        )
        self._own = Connections(tls, timeout, proxies)
        others = TlsSettings(tls.authorities)
        self._others = (
            self._own if others == tls else Connections(others, timeout, proxies)
        )

    def send(self, request: Request, *, own: bool) -> Response:
        """Return the answer, whatever its status is, to the last attempt.

        Raises:
            UnavailableError: There was no answer, or the transport was closed.
        """
        for attempt in range(1, self._patience.attempts + 1):
            is_last = attempt == self._patience.attempts
            connections = self._own if own else self._others
            try:
                response = self._send_once(request, connections)
            except urllib3.exceptions.HTTPError as error:
                if is_last or not (request.is_repeatable and is_passing(error)):
                    proxy = connections.proxy_for(request.url)
                    raise unavailable(request.url, error, proxy) from error
                wait_s: float | None = self.back_off_s(attempt)
            else:
                wait_s = None if is_last else self._wait_s(request, response, attempt)
                if wait_s is None:
                    return response
                response.close()
            self.pause(wait_s or 0.0)
        raise AssertionError("patience has at least one attempt")

    def back_off_s(self, attempt: int) -> float:
        """Return how long to wait after the failed ``attempt`` (from 1)."""
        limit = self._patience.first_wait_s * 2.0 ** (attempt - 1)
        # Spread, so that several readers do not come back all at once.
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        return min(limit, self._patience.longest_wait_s) * spread

    def pause(self, wait_s: float) -> None:
        """Wait; raise ``UnavailableError`` once the transport is closed."""
        if self._closed.wait(wait_s):
            raise UnavailableError("the registry's source was closed")

    @property
    def attempts(self) -> int:
        """Return how often a failing request is sent."""
        return self._patience.attempts

    def close(self) -> None:
        """End waits, and close what connections lie idle."""
        self._closed.set()
        self._waits.give_up()
        self._own.close()
        self._others.close()

    def _send_once(self, request: Request, connections: Connections) -> Response:
        if self._closed.is_set():
            raise UnavailableError("the registry's source was closed")
        pools = connections.pools_for(request.url)

        def send() -> urllib3.BaseHTTPResponse:
            return pools.request(
                request.method,
                request.url,
                headers={**_BASE_HEADERS, **request.headers},
                body=request.body,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

        try:
            raw = self._waits.result_of(send)
        except urllib3.exceptions.LocationValueError as error:
            shown = shown_url(request.url)
            raise InvalidArgumentError(f"{shown!r} is not a URL") from error
        return Response(request.url, raw)

    def _wait_s(
        self, request: Request, response: Response, attempt: int
    ) -> float | None:
        """Return how long to wait before the next attempt; None if none is due."""
        if response.status == _TOO_MANY_REQUESTS:
            asked = _retry_after_s(response.headers.get("Retry-After", ""))
            if asked is None:
                return self.back_off_s(attempt)
            return asked if asked <= self._patience.longest_retry_after_s else None
        if response.status in _PASSING_STATUSES and request.is_repeatable:
            return self.back_off_s(attempt)
        return None


def _retry_after_s(text: str) -> float | None:
    # RFC 9110, section 10.2.3: seconds or a date.
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        due = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, due.timestamp() - time.time())
