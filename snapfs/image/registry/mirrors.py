"""Asking the hosts of a registry one after the other until one answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from snapfs.errors import FailedPreconditionError, SnapfsError
from snapfs.image.registry.client import Client
from snapfs.image.registry.credentials import Credentials
from snapfs.image.registry.endpoints import Capability, Endpoint
from snapfs.image.registry.name import RegistryName
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.transport import Patience

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

# Of a host that another can stand in for: one break is forgiven.
_MIRROR_ATTEMPTS = 2


class Mirrors:
    """The hosts that serve one image's registry, in the order to ask them."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        name: RegistryName,
        settings: RegistrySettings,
    ) -> None:
        self._name = name
        self._credentials = settings.credentials
        self._proxies = settings.proxies
        self._clients: list[Client] = []
        for endpoint in endpoints:
            is_last = endpoint is endpoints[-1]
            self._clients.append(
                self._client(endpoint, settings.patience, is_last=is_last)
            )

    def ask(
        self,
        capability: Capability,
        question: Callable[[Client], _Result],
        *,
        first: Client | None = None,
        without: Collection[Client] = (),
    ) -> tuple[_Result, Client]:
        """Return the first answer that is no error, and who gave it.

        Any refusal of a host makes the next one be asked: a mirror may lack the
        image, its credentials or its health. Each refusal is logged.

        Args:
            capability: Hosts without it are not asked.
            question: What to ask a host.
            first: The host to begin with, where one is known to answer.
            without: Hosts that are not asked.

        Raises:
            SnapfsError: No host answered. With one host it is its error; with
                several it is of the last one's class and says what each said.
            FailedPreconditionError: No host may be asked this.
        """
        hosts = [one for one in self.having(capability) if one not in without]
        if first in hosts:
            hosts.sort(key=lambda one: one is not first)
        failures: list[tuple[Client, SnapfsError]] = []
        for client in hosts:
            try:
                return question(client), client
            except SnapfsError as error:
                failures.append((client, error))
                if client is not hosts[-1]:
                    _log.warning("%s; asking the next host", error)
        raise self._combined(capability, failures)

    def having(self, capability: Capability) -> list[Client]:
        """Return the hosts that have any of the capabilities, in their order."""
        return [one for one in self._clients if capability & one.endpoint.capabilities]

    def only(self, capability: Capability) -> Client:
        """Return the first host with a capability.

        Raises:
            FailedPreconditionError: There is none.
        """
        for client in self.having(capability):
            return client
        raise self._combined(capability, [])

    def close(self) -> None:
        """Close every host's connections."""
        for client in self._clients:
            client.close()

    def _client(
        self, endpoint: Endpoint, patience: Patience, *, is_last: bool
    ) -> Client:
        if not is_last:
            attempts = min(patience.attempts, _MIRROR_ATTEMPTS)
            patience = replace(patience, attempts=attempts)
        if endpoint.connect_timeout_s:
            patience = replace(patience, connect_timeout_s=endpoint.connect_timeout_s)

        def find_credentials() -> Credentials | None:
            # A mirror has its own users: it never sees the registry's passwords.
            own = endpoint.host if endpoint.is_mirror else self._name.domain
            return self._credentials.find(own, self._name.repository)

        return Client(endpoint, patience, find_credentials, self._proxies)

    def _combined(
        self, capability: Capability, failures: list[tuple[Client, SnapfsError]]
    ) -> SnapfsError:
        if not failures:
            word = (capability.name or "").lower().replace("|", " or ")
            return FailedPreconditionError(
                f"no host of the registry {self._name.domain!r} may be asked to {word}"
            )
        _client, last = failures[-1]
        if len(failures) == 1:
            return last
        said = "; ".join(f"[{client.host}] {error}" for client, error in failures)
        combined = type(last)(f"no host of {self._name.domain!r} answered: {said}")
        combined.__cause__ = last
        return combined
