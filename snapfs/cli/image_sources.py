"""SOURCE on the command line: from the word to the image that it names.

The only place where images meet the user's environment: Docker's configuration, the
registries' folders, containerd's socket.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from snapfs.cli.session import Session
from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.image.opening import open_source
from snapfs.image.reference import (
    ContainerdReference,
    FileReference,
    RegistryReference,
    SnapshotReference,
    SourceReference,
    TreeReference,
    parse_source,
)
from snapfs.image.source import ImageSource

# Who has told containerd or Docker how to reach a registry need not tell us again.
_HOST_FOLDERS: Final = (Path("/etc/containerd/certs.d"), Path("/etc/docker/certs.d"))

_SUGGESTION_LIMIT: Final = 1_000  # keys; difflib takes up to 0.2 ms for each


def read_source(session: Session, text: str) -> SourceReference:
    """Read the SOURCE ``text``; a bare word may be a snapshot of the store.

    Raises:
        SnapfsError: As :func:`parse_source`.
    """
    try:
        return parse_source(text)
    except InvalidArgumentError:
        keys = _keys(session, text)
        if not keys:
            raise
    return parse_source(text, keys)


def _keys(session: Session, text: str) -> list[str]:
    try:
        with session.store() as store:
            keys = [info.name for info in store.walk()]
    except NotFoundError:  # no store, no snapshots
        return []
    if len(keys) <= _SUGGESTION_LIMIT:
        return keys
    return [key for key in keys if key == text]


def open_image_source(reference: SourceReference) -> ImageSource:
    """Open the image that ``reference`` names; the caller closes the source.

    Raises:
        InvalidArgumentError: It names no image, but what is unpacked already.
        SnapfsError: It cannot be opened; the message says why.
    """
    match reference:
        case FileReference():
            return open_source(reference)
        case RegistryReference():
            return _registry_source(reference)
        case ContainerdReference():
            return _containerd_source(reference)
        case SnapshotReference():
            raise InvalidArgumentError(
                f"{str(reference)!r} is a snapshot of this store: there is nothing to"
                " unpack"
            )
        case TreeReference():
            raise InvalidArgumentError(
                f"{str(reference)!r} is plain directories: there is nothing to unpack;"
                " 'snapfs mount' shows them as they are"
            )


def _registry_source(reference: RegistryReference) -> ImageSource:
    # Here: HTTP takes a while to load, and most images come from files.
    from snapfs.image.registry.credentials import DockerConfig
    from snapfs.image.registry.settings import RegistrySettings
    from snapfs.image.registry.source import RegistrySource

    settings = RegistrySettings(
        host_folders=_HOST_FOLDERS, credentials=DockerConfig(_docker_config())
    )
    return RegistrySource(reference.image, settings, str(reference))


def _docker_config() -> Path:
    """Return where Docker's command line keeps its logins."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    return Path(folder, "config.json")


def _containerd_source(reference: ContainerdReference) -> ImageSource:
    # Here: gRPC takes a while to load.
    from snapfs.remote.containerd_images import (
        DEFAULT_ADDRESS,
        DEFAULT_NAMESPACE,
        ContainerdImageSource,
    )

    # The variables that containerd's ctr reads.
    address = os.environ.get("CONTAINERD_ADDRESS") or DEFAULT_ADDRESS
    namespace = os.environ.get("CONTAINERD_NAMESPACE") or DEFAULT_NAMESPACE
    return ContainerdImageSource(address, namespace, reference.image)
