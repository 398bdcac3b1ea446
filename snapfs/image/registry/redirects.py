"""Following redirects, so that what is secret stays with the host it is for.

The rule exists because a registry hands out addresses of other hosts (storage,
mirrors, foreign layers), and CVE-2020-15157 showed what comes of answering those
hosts with the registry's credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from snapfs.errors import InvalidArgumentError, UnavailableError
from snapfs.image.registry.endpoints import Origin, origin_of, shown_url
from snapfs.image.registry.response import Response

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Registries need one or two; this is what Go's HTTP client allows.
_MOST_REDIRECTS: Final = 10


def follow(
    url: str, home: Origin, send: Callable[[str, bool], Response]
) -> tuple[Response, bool]:
    """Call ``send(url, trusted)`` until the answer is no redirect; return that.

    ``trusted`` is True while every address so far was on ``home``: only then may
    ``send`` add credentials. It does not become True again when a stranger points
    back. The second value returned is ``trusted`` of the last call.

    Raises:
        UnavailableError: Redirects in a loop, without an address, to an address
            that is no URL, or from https to http.
    """
    trusted = True
    start = url
    for _ in range(_MOST_REDIRECTS + 1):
        trusted = trusted and origin_of(url) == home
        response = send(url, trusted)
        if response.status not in _REDIRECTS:
            return response, trusted
        response.close()
        url = _target(url, response.headers.get("Location", ""))
    raise UnavailableError(
        f"{shown_url(start)!r} redirects more than {_MOST_REDIRECTS} times"
    )


def _target(url: str, location: str) -> str:
    if not location:
        raise UnavailableError(f"{shown_url(url)!r} redirects without saying where to")
    try:
        target = urljoin(url, location)
        scheme = origin_of(target).scheme
    except (ValueError, InvalidArgumentError) as error:
        raise UnavailableError(
            f"{shown_url(url)!r} redirects to {shown_url(location)!r}, "
            "which is not an http or https URL"
        ) from error
    if origin_of(url).scheme == "https" and scheme == "http":
        raise UnavailableError(
            f"{shown_url(url)!r} redirects from https to plain http "
            f"({shown_url(target)!r}); that is refused"
        )
    return target
