"""Tokens of a registry's token service: how they are asked for.

Sources: distribution's docs, "Token Authentication Specification" (GET) and
"OAuth2 Token Authentication" (POST, for identity tokens).
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from snapfs.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from snapfs.image.registry.credentials import Credentials
from snapfs.image.registry.endpoints import Origin, origin_of, shown_url
from snapfs.image.registry.redirects import follow
from snapfs.image.registry.response import Response
from snapfs.image.registry.statuses import refusal
from snapfs.image.registry.transport import Request, Transport

_LARGEST_ANSWER: Final = 1 << 20
_CLIENT_ID: Final = "snapfs"
# The specification's default and least lifetime.
_LIFETIME_S: Final = 60.0
# A token is given up this much before its end, so that it outlives its request.
_MARGIN_S: Final = 10.0
# What may stand in a header (RFC 6750, section 2.1, and a little more).
_USABLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class TokenService:
    """Where tokens for a registry come from, as its challenge says."""

    realm: str
    service: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token and when it ends, by the monotonic clock."""

    text: str = field(repr=False)
    ends_at_s: float

    @property
    def is_fresh(self) -> bool:
        """Return whether it may still be used."""
        return time.monotonic() < self.ends_at_s


class _Answer(msgspec.Struct):
    token: str = ""
    access_token: str = ""
    expires_in: float = 0.0


def basic_authorization(credentials: Credentials) -> str:
    """Return the value of ``Authorization`` for a user and password (RFC 7617)."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def fetch_token(
    transport: Transport,
    home: Origin,
    service: TokenService,
    scopes: tuple[str, ...],
    credentials: Credentials | None,
) -> Token:
    """Ask the token service for a token with ``scopes``.

    ``home`` is the registry: one that speaks https may not send its users'
    passwords over plain http.

    Raises:
        PermissionDeniedError: The service refuses, or cannot be trusted with
            the credentials.
        UnavailableError: It does not answer, or not with a token.
    """
    realm = _checked_realm(service.realm, home)
    if credentials and credentials.identity_token:
        response = _post(transport, home, service, scopes, credentials)
    else:
        response = _get(transport, home, service, scopes, credentials)
    if response.status != 200:
        error = refusal(response, realm.authority, _asked(credentials))
        if response.status == 429 or response.status >= 500:
            raise error
        # Not as its status says: a page that is missing there is no missing image.
        raise PermissionDeniedError(str(error))
    return _read(response, realm.authority)


def _checked_realm(realm: str, home: Origin) -> Origin:
    try:
        origin = origin_of(realm)
    except InvalidArgumentError as error:
        raise PermissionDeniedError(
            f"registry host {home.authority!r} names a token service that is not an "
            f"http or https URL: {shown_url(realm)!r}"
        ) from error
    if origin.scheme == "http" and home.scheme == "https":
        raise PermissionDeniedError(
            f"registry host {home.authority!r} wants a login over plain http at "
            f"{origin.authority!r}; that is refused"
        )
    return origin


def _get(
    transport: Transport,
    home: Origin,
    service: TokenService,
    scopes: tuple[str, ...],
    credentials: Credentials | None,
) -> Response:
    query = [("service", service.service)] if service.service else []
    query += [("scope", scope) for scope in scopes]
    authorization = {}
    if credentials is not None:
        query.append(("account", credentials.username))
        authorization["Authorization"] = basic_authorization(credentials)

    def send(url: str, trusted: bool) -> Response:
        headers = authorization if trusted else {}
        own = origin_of(url) == home
        return transport.send(Request("GET", url, headers), own=own)

    url = _with_query(service.realm, query)
    return follow(url, origin_of(service.realm), send)[0]


def _post(
    transport: Transport,
    home: Origin,
    service: TokenService,
    scopes: tuple[str, ...],
    credentials: Credentials,
) -> Response:
    form = urlencode(
        {
            "grant_type": "refresh_token",
            "service": service.service,
            "client_id": _CLIENT_ID,
            "scope": " ".join(scopes),
            "refresh_token": credentials.identity_token,
        }
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = Request("POST", service.realm, headers, form.encode())
    # Never redirected: the body is the secret.
    return transport.send(request, own=origin_of(service.realm) == home)


def _with_query(url: str, query: list[tuple[str, str]]) -> str:
    parts = urlsplit(url)
    joined = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, joined, ""))


def _asked(credentials: Credentials | None) -> str:
    if credentials is None:
        return "an anonymous token"
    if credentials.identity_token:
        return "a token for the stored identity token"
    return f"a token for the user {credentials.username!r}"


def _read(response: Response, host: str) -> Token:
    content = response.read_document(_LARGEST_ANSWER)
    try:
        answer = msgspec.json.decode(content, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not chained: the cause could show a part of a token.
        raise UnavailableError(f"{host!r} answered without a token") from None
    text = answer.token or answer.access_token
    if not _USABLE.fullmatch(text):
        raise UnavailableError(f"{host!r} answered without a usable token")
    lifetime_s = answer.expires_in if answer.expires_in > 0 else _LIFETIME_S
    margin_s = min(_MARGIN_S, lifetime_s / 10)
    return Token(text, time.monotonic() + lifetime_s - margin_s)
