"""What urllib3 and the TLS library report, in words that help the user."""

from __future__ import annotations

import ssl
from http.client import IncompleteRead, RemoteDisconnected
from typing import Final

import urllib3.exceptions as http

from snapfs.errors import UnavailableError
from snapfs.image.registry.endpoints import shown_url

# OpenSSL's name for the answer of a server that does not speak TLS.
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"}
)


def is_passing(error: http.HTTPError) -> bool:
    """Return whether the same request may succeed in a moment.

    A connection that broke or fell silent may; a refused connection, an unknown
    name or an untrusted certificate would only be found again, later.
    """
    if isinstance(error, http.NewConnectionError | http.ConnectTimeoutError):
        return False
    if isinstance(error, http.SSLError):
        return isinstance(_tls_error(error), ssl.SSLEOFError)
    return isinstance(error, http.ProtocolError | http.TimeoutError)


def unavailable(url: str, error: http.HTTPError, proxy: str = "") -> UnavailableError:
    """Return the error for a request to ``url`` that got no answer, or half of one.

    ``proxy`` is the address of the proxy on the way, if there is one.
    """
    shown = shown_url(url)
    host = shown.partition("//")[2].partition("/")[0]
    way = f", through the proxy {proxy!r}" if proxy else ""
    return UnavailableError(f"registry host {host!r}{way}: {_why(error, host)}")


def _why(error: http.HTTPError, host: str) -> str:
    match error:
        case http.SSLError():
            return _tls_reason(error, host)
        case http.NameResolutionError():
            return "its name cannot be resolved; check the name and this host's DNS"
        case http.NewConnectionError():
            return f"cannot connect: {_system_reason(error)}"
        case http.ConnectTimeoutError():
            return "cannot connect: no answer in time"
        case http.ProxyError():
            return f"the proxy does not let us through ({_proxy_reason(error)})"
        case http.ReadTimeoutError():
            return "it stopped answering"
        case http.ProtocolError():
            return _broken_reason(error)
    return f"the request failed ({type(error).__name__})"


def _broken_reason(error: http.ProtocolError) -> str:
    if isinstance(error.__cause__, IncompleteRead):
        return "the connection ended in the middle of an answer"
    if isinstance(error.__cause__, RemoteDisconnected):
        return "the connection ended without an answer"
    return f"the connection broke ({_system_reason(error)})"


def _proxy_reason(error: http.ProxyError) -> str:
    inner = error.original_error
    if isinstance(inner, OSError) and not inner.strerror and inner.args:
        return str(inner.args[0])  # http.client's: the proxy's refusal of CONNECT
    return _system_reason(inner)


def _system_reason(error: BaseException) -> str:
    # The first system error in the chain; its words are the clearest.
    seen: BaseException | None = error
    while seen is not None:
        for one in (seen, *seen.args):
            if isinstance(one, OSError) and one.strerror:
                return one.strerror
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__


def _tls_error(error: http.SSLError) -> object:
    return error.args[0] if error.args else error


def _tls_reason(error: http.SSLError, host: str) -> str:
    inner = _tls_error(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {inner.verify_message}; name its "
            f"authority as 'ca' in the hosts.toml of {host!r}"
        )
    if isinstance(inner, ssl.SSLError) and inner.reason in _NOT_TLS:
        return (
            "it does not speak TLS; if plain http is meant, write "
            f"'server = \"http://{host}\"' in the hosts.toml of {host!r}"
        )
    reason = inner.reason if isinstance(inner, ssl.SSLError) else None
    return f"TLS failed: {reason or type(inner).__name__}"
