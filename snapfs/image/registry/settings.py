"""How registries are reached: what the command line hands in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from snapfs.image.registry.credentials import CredentialStore, NoCredentials
from snapfs.image.registry.proxies import Proxies
from snapfs.image.registry.transport import Patience


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How registries are reached.

    Attributes:
        host_folders: Where ``hosts.toml`` files are looked for, such as
            ``/etc/containerd/certs.d``.
        credentials: Where passwords come from.
        patience: How long hosts are waited for.
        proxies: Through which they are reached.
        connections: Ranges of large blobs that are loaded ahead, over all blobs of
            an image; 0 reads each blob on one connection.
        range_bytes: Of one such range; all together bound the memory.
        chunk_bytes: Of an upload; a smaller blob goes in one request.
    """

    host_folders: tuple[Path, ...] = ()
    credentials: CredentialStore = field(default_factory=NoCredentials)
    patience: Patience = field(default_factory=Patience)
    proxies: Proxies = field(default_factory=Proxies)
    connections: int = 4
    range_bytes: int = 8 << 20
    chunk_bytes: int = 8 << 20
