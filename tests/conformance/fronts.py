"""The ways to reach a store, each behind the same ``Snapshotter``.

A test gets an empty store. When the test is over, the store's own check must find
nothing, whatever the test did.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Protocol

from conformance.population import remove_all
from conformance.service import Service
from snapfs import open_store
from snapfs.remote import RemoteSnapshotter
from snapfs.snapshotter import Snapshotter, Store
from support.memory_store import MemoryStore


class Front(Protocol):
    """One way to reach one store."""

    @property
    def snapshots(self) -> Snapshotter:
        """The store as it is open now."""
        ...

    def restart(self) -> None:
        """Close the store and open it again."""
        ...

    def finish(self) -> None:
        """Let the store check itself, and let go of it.

        Raises:
            AssertionError: The check found something.
        """
        ...


class MemoryFront:
    """The fake: it keeps the contract but has no files."""

    def __init__(self) -> None:
        self._store = MemoryStore()

    @property
    def snapshots(self) -> Snapshotter:
        return self._store

    def restart(self) -> None:
        raise NotImplementedError("a store in memory ends with its process")

    def finish(self) -> None:
        self._store.close()


class LibraryFront:
    """``snapfs.open_store`` in this process."""

    def __init__(self, root: Path, driver: str) -> None:
        self._root = root
        self._driver = driver
        self._opened = contextlib.ExitStack()
        self._store = self._open()

    @property
    def snapshots(self) -> Snapshotter:
        return self._store

    def restart(self) -> None:
        self._opened.close()
        self._store = self._open()

    def finish(self) -> None:
        self.restart()  # the test may have closed it
        with self._opened:
            assert self._store.check() == []

    def _open(self) -> Store:
        return self._opened.enter_context(open_store(self._root, driver=self._driver))


class ServiceFront:
    """A running ``snapfs serve``, through the socket that containerd would use.

    The service goes on for the next test; what this one made is removed.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client = RemoteSnapshotter(str(service.address))

    @property
    def snapshots(self) -> Snapshotter:
        return self._client

    def restart(self) -> None:
        self._client.close()
        self._service.restart()
        self._client = RemoteSnapshotter(str(self._service.address))

    def finish(self) -> None:
        self._client.close()  # the test may have closed it
        client = RemoteSnapshotter(str(self._service.address))
        with contextlib.closing(client), open_store(self._service.root) as store:
            findings = store.check()
            remove_all(client)
            assert findings == []
            assert list(store.list_details()) == []
