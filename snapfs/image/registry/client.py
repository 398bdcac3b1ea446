"""One host's API: requests with logins and redirects, answers by status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin

from snapfs.image.registry.auth import Authenticator
from snapfs.image.registry.challenges import parse_challenges
from snapfs.image.registry.credentials import Credentials
from snapfs.image.registry.endpoints import Endpoint, Origin, origin_of
from snapfs.image.registry.proxies import Proxies
from snapfs.image.registry.redirects import follow
from snapfs.image.registry.response import Response
from snapfs.image.registry.transport import Patience, Request, Transport


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API.

    Attributes:
        target: A path below the API's root, or an absolute URL that the host gave.
        scopes: What a token must allow, such as ``repository:a/b:pull``.
        is_repeatable: See :class:`~snapfs.image.registry.transport.Request`.
    """

    method: str
    target: str
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)
    is_repeatable: bool = True


class Client:
    """Sends calls to one endpoint; any number of threads may."""

    def __init__(
        self,
        endpoint: Endpoint,
        patience: Patience,
        find_credentials: Callable[[], Credentials | None],
        proxies: Proxies,
    ) -> None:
        self.endpoint = endpoint
        self.transport = Transport(endpoint.tls, patience, proxies)
        self._home: Origin = endpoint.origin
        self._authenticator = Authenticator(
            self._home, self.transport, find_credentials
        )

    @property
    def host(self) -> str:
        """Return what messages call the host."""
        return self.endpoint.host

    def send(self, call: Call) -> Response:
        """Return the answer of the host, or of where it redirects a GET or HEAD.

        Raises:
            UnavailableError: There was none.
            PermissionDeniedError: The token service refuses.
        """
        url = self._url(call)

        def send_one(where: str, trusted: bool) -> Response:
            if trusted:
                return self._send_home(call, where)
            own = origin_of(where) == self._home
            foreign = Request(call.method, where, call.headers, call.body)
            return self.transport.send(foreign, own=own)

        if call.method in ("GET", "HEAD"):
            return follow(url, self._home, send_one)[0]
        return send_one(url, origin_of(url) == self._home)

    def close(self) -> None:
        """Close idle connections and end waits."""
        self.transport.close()

    def _url(self, call: Call) -> str:
        url = call.target
        query = list(call.query)
        if "://" not in url:
            url = f"{self.endpoint.url}/{url}"
            if self.endpoint.is_mirror:
                # What containerd tells its mirrors: whose content is meant.
                query.append(("ns", self.endpoint.domain))
        if not query:
            return url
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    def _send_home(self, call: Call, url: str) -> Response:
        authorization = self._authenticator.authorization(call.scopes)
        response = self._send_as(call, url, authorization)
        if response.status != 401:
            return response
        challenges = parse_challenges(response.header_lines("WWW-Authenticate"))
        try:
            answer = self._authenticator.answer(challenges, call.scopes, authorization)
        except BaseException:
            response.close()
            raise
        if not answer:
            return response
        response.close()
        return self._send_as(call, url, answer)

    def _send_as(self, call: Call, url: str, authorization: str) -> Response:
        headers = {**self.endpoint.headers, **call.headers}
        if authorization:
            headers["Authorization"] = authorization
        request = Request(call.method, url, headers, call.body, call.is_repeatable)
        return self.transport.send(request, own=True)


def location(response: Response) -> str:
    """Return the absolute address that an answer's ``Location`` names; or ""."""
    text = response.headers.get("Location", "")
    return urljoin(response.url, text) if text else ""
