"""An image in a registry, as a source of its documents and layers."""

from __future__ import annotations

from typing import Final

from snapfs.closing import Closing
from snapfs.image import media_types
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry import manifests
from snapfs.image.registry.client import Client
from snapfs.image.registry.endpoints import Capability
from snapfs.image.registry.hosts import find_endpoints
from snapfs.image.registry.mirrors import Mirrors
from snapfs.image.registry.name import RegistryName
from snapfs.image.registry.parallel import ParallelReader, Prefetcher
from snapfs.image.registry.ranges import (
    Blob,
    OpenedRange,
    Opener,
    RangeReader,
    open_range,
)
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.source import BlobReader
from snapfs.image.verified import MemoryReader

_DOCUMENTS: Final = media_types.MANIFESTS | media_types.INDEXES


class RegistrySource(Closing):
    """One image in a registry; implements ``snapfs.image.source.ImageSource``.

    Args:
        name: The image.
        settings: How to reach it.
        shown_name: What messages call the source; the image's full name if "".

    Raises:
        InvalidArgumentError: A ``hosts.toml`` or a certificate is malformed.
    """

    def __init__(
        self, name: RegistryName, settings: RegistrySettings, shown_name: str = ""
    ) -> None:
        self._image = name
        self._settings = settings
        self._shown_name = shown_name or f"docker://{name}"
        endpoints = find_endpoints(name, settings.host_folders)
        self._mirrors = Mirrors(endpoints, name, settings)
        self._prefetcher = Prefetcher(settings.connections, settings.range_bytes)

    @property
    def name(self) -> str:
        """What messages call the source."""
        return self._shown_name

    def root(self) -> Descriptor:
        """Return the descriptor of the index or manifest that was asked for.

        Raises:
            NotFoundError: No host has the repository or the tag.
            PermissionDeniedError: The registry refuses, with its words.
            UnavailableError: No host can be reached; the message says why.
            ResourceExhaustedError: Too many requests, after all repeats.
            DigestMismatchError: The host answers with another digest.
        """
        # A digest can be looked up wherever content is; a tag only where hosts are
        # trusted to say what it means.
        capability = Capability.RESOLVE
        if self._image.digest is not None:
            capability |= Capability.PULL
        repository, reference = self._image.repository, self._image.reference
        return self._mirrors.ask(
            capability, lambda client: manifests.resolve(client, repository, reference)
        )[0]

    def open_blob(self, descriptor: Descriptor, offset: int = 0) -> BlobReader:
        """Open a blob, or a manifest, for reading from ``offset`` on.

        Raises:
            NotFoundError: No host has it.
            SnapfsError: As for :meth:`root`.
        """
        if descriptor.media_type in _DOCUMENTS:
            return MemoryReader(self._document(descriptor), offset)
        size = descriptor.size_bytes
        blob = Blob(self._image.repository, descriptor.digest, size)
        opener = _MirroredOpener(self._mirrors, blob)
        large = size - offset > 2 * self._settings.range_bytes
        if not large or self._settings.connections < 1:
            return self._sequential(opener, offset, size)
        return self._parallel(opener, offset, size)

    def interrupt(self) -> None:
        """See :class:`snapfs.image.source.Interruptible`."""
        self._mirrors.close()

    def close(self) -> None:
        """Close all connections; readers that wait give up."""
        self._mirrors.close()
        self._prefetcher.close()

    def _document(self, descriptor: Descriptor) -> bytes:
        repository, reference = self._image.repository, str(descriptor.digest)
        answer, _client = self._mirrors.ask(
            Capability.PULL,
            lambda client: manifests.fetch(client, repository, reference),
        )
        return answer[1]

    def _sequential(self, opener: Opener, offset: int, size: int) -> BlobReader:
        if offset >= size:
            return MemoryReader(b"")
        return RangeReader(opener, offset, size, opener.open_at(offset, size))

    def _parallel(self, opener: Opener, offset: int, size: int) -> BlobReader:
        first_end = offset + self._settings.range_bytes
        opened = opener.open_at(offset, first_end)
        if not opened.is_partial:  # no ranges there: all of it comes at once
            return RangeReader(opener, offset, size, opened)
        return ParallelReader(
            RangeReader(opener, offset, first_end, opened),
            first_end,
            size,
            lambda start, end: RangeReader(opener, start, end),
            self._prefetcher,
        )


class _MirroredOpener:
    """Opens ranges wherever they are, and first where the last one was."""

    def __init__(self, mirrors: Mirrors, blob: Blob) -> None:
        self.blob = blob
        self._mirrors = mirrors
        self._client: Client | None = None
        self._given_up: set[Client] = set()

    def open_at(self, start: int, end: int) -> OpenedRange:
        opened, self._client = self._mirrors.ask(
            Capability.PULL,
            lambda client: open_range(client, self.blob, start, end),
            first=self._client,
            without=self._given_up,
        )
        return opened

    def give_up(self, host: Client) -> bool:
        others = self._given_up | {host}
        if others.issuperset(self._mirrors.having(Capability.PULL)):
            return False
        self._given_up = others
        return True
