"""Logging in to one host: which ``Authorization`` its requests carry."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from snapfs.image.registry.challenges import Challenge
from snapfs.image.registry.credentials import Credentials
from snapfs.image.registry.endpoints import Origin
from snapfs.image.registry.tokens import (
    Token,
    TokenService,
    basic_authorization,
    fetch_token,
)
from snapfs.image.registry.transport import Transport


class Authenticator:
    """Answers one host's challenges, and remembers what it wants.

    The credentials are looked up when the host first asks for them. Tokens are
    kept by scope until they end. Any number of threads may ask; one at a time logs
    in, so that a host sees one login and not one of each connection.
    """

    def __init__(
        self,
        home: Origin,
        transport: Transport,
        find_credentials: Callable[[], Credentials | None],
    ) -> None:
        self._home = home
        self._transport = transport
        self._find_credentials = find_credentials
        self._lock = threading.Lock()
        self._looked_up = False
        self._credentials: Credentials | None = None
        self._basic = ""
        self._service: TokenService | None = None
        self._tokens: dict[tuple[str, ...], Token] = {}

    def authorization(self, scopes: tuple[str, ...]) -> str:
        """Return what to send along unasked; "" while the host has not asked.

        Raises:
            PermissionDeniedError: The token service refuses.
            UnavailableError: The token service does not answer.
        """
        with self._lock:
            if self._service is not None:
                return self._bearer(self._service, scopes, scopes)
            return self._basic

    def answer(
        self, challenges: Sequence[Challenge], scopes: tuple[str, ...], sent: str
    ) -> str:
        """Return the ``Authorization`` that the challenges ask for.

        "" means that there is none to give: no challenge is understood, or there
        are no credentials. ``sent`` is what the refused request carried; it is not
        returned again.

        Raises:
            PermissionDeniedError: The token service refuses.
            UnavailableError: The token service does not answer.
        """
        with self._lock:
            for challenge in challenges:
                if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
                    return self._answer_bearer(challenge, scopes, sent)
            if any(challenge.scheme == "basic" for challenge in challenges):
                return self._answer_basic(sent)
            return ""

    def _answer_bearer(
        self, challenge: Challenge, scopes: tuple[str, ...], sent: str
    ) -> str:
        realm = challenge.parameters["realm"]
        self._service = TokenService(realm, challenge.parameters.get("service", ""))
        token = self._tokens.get(scopes)
        if token is not None and f"Bearer {token.text}" == sent:
            del self._tokens[scopes]  # it has ended early, or lacks a scope
        wanted = challenge.parameters.get("scope", "").split()
        further = tuple(scope for scope in wanted if scope not in scopes)
        return self._bearer(self._service, scopes, scopes + further)

    def _answer_basic(self, sent: str) -> str:
        credentials = self._own_credentials()
        if credentials is None or not credentials.username:
            return ""
        self._basic = basic_authorization(credentials)
        return "" if self._basic == sent else self._basic

    def _bearer(
        self, service: TokenService, key: tuple[str, ...], scopes: tuple[str, ...]
    ) -> str:
        token = self._tokens.get(key)
        if token is None or not token.is_fresh:
            credentials = self._own_credentials()
            token = fetch_token(
                self._transport, self._home, service, scopes, credentials
            )
            self._tokens[key] = token
        return f"Bearer {token.text}"

    def _own_credentials(self) -> Credentials | None:
        if not self._looked_up:
            self._credentials = self._find_credentials()
            self._looked_up = True
        return self._credentials
