"""Connections to hosts: their certificates, ours, and the proxies on the way.

urllib3 keeps them, one set for each proxy.
"""

from __future__ import annotations

import ssl
import threading
from typing import Final

import urllib3
import urllib3.exceptions

from snapfs.errors import InvalidArgumentError
from snapfs.image.registry.endpoints import TlsSettings
from snapfs.image.registry.proxies import Proxies, Proxy

# Connections that are kept for later; more may be open at once.
_KEPT_CONNECTIONS: Final = 16


class Connections:
    """Connections under one set of certificates; any number of threads may ask.

    Raises:
        InvalidArgumentError: A certificate cannot be used.
    """

    def __init__(
        self, tls: TlsSettings, timeout: urllib3.Timeout, proxies: Proxies
    ) -> None:
        if not tls.verify:
            # The user said so in hosts.toml; urllib3 would warn at each request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._context = _context(tls)
        self._timeout = timeout
        self._proxies = proxies
        self._lock = threading.Lock()
        self._pools: dict[Proxy | None, urllib3.PoolManager] = {}

    def pools_for(self, url: str) -> urllib3.PoolManager:
        """Return what sends requests to ``url``.

        Raises:
            InvalidArgumentError: It is not an http or https URL.
        """
        proxy = self._proxies.find(url)
        with self._lock:
            if proxy not in self._pools:
                self._pools[proxy] = self._make(proxy)
            return self._pools[proxy]

    def proxy_for(self, url: str) -> str:
        """Return the address of the proxy on the way to ``url``; "" for none."""
        proxy = self._proxies.find(url)
        return "" if proxy is None else proxy.url

    def close(self) -> None:
        """Close what lies idle."""
        with self._lock:
            for pools in self._pools.values():
                pools.clear()

    def _make(self, proxy: Proxy | None) -> urllib3.PoolManager:
        if proxy is None:
            return urllib3.PoolManager(
                ssl_context=self._context,
                timeout=self._timeout,
                retries=False,
                maxsize=_KEPT_CONNECTIONS,
            )
        login = proxy.login or None
        return urllib3.ProxyManager(
            proxy.url,
            proxy_headers=urllib3.make_headers(proxy_basic_auth=login),
            # Our client certificate is the registry's business, not the proxy's.
            proxy_ssl_context=ssl.create_default_context(),
            ssl_context=self._context,
            timeout=self._timeout,
            retries=False,
            maxsize=_KEPT_CONNECTIONS,
        )


def _context(tls: TlsSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in tls.authorities:
        try:
            context.load_verify_locations(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(
                f"the certificate authority '{authority}'", error
            ) from error
    for certificate, key in tls.client_certificates:
        try:
            # No password is ever asked for on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (OSError, ssl.SSLError) as error:
            what = f"the client certificate '{certificate}'"
            raise _unusable(what, error) from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(what: str, error: OSError) -> InvalidArgumentError:
    return InvalidArgumentError(f"{what} cannot be used: {error.strerror or error}")
