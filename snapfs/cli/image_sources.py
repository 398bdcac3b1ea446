"""SOURCE on the command line: from the word to the image that it names.

The only place where images meet the user's environment: Docker's configuration, the
registries' folders, proxies, containerd's socket.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from snapfs.cli.session import Session
from snapfs.cli.wording import did_you_mean
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

if TYPE_CHECKING:
    from pathlib import Path

    from snapfs.image.registry.settings import RegistrySettings

# Who has told containerd or Docker how to reach a registry need not tell us again.
_HOST_FOLDERS: Final = "/etc/containerd/certs.d:/etc/docker/certs.d"

_SUGGESTION_LIMIT: Final = 1_000  # keys; difflib takes up to 0.2 ms for each


def read_source(session: Session, text: str) -> SourceReference:
    """Read the SOURCE ``text``; a bare word may be a snapshot of the store.

    Raises:
        SnapfsError: As :func:`parse_source`.
    """
    try:
        with suggesting_files(text.removeprefix("dir:")):
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
            with suggesting_files(reference.path):
                return open_source(reference)
        case RegistryReference():
            return _registry_source(reference)
        case ContainerdReference():
            return _containerd_source(reference)
        case SnapshotReference():
            raise InvalidArgumentError(
                f"{str(reference)!r} is a snapshot of this store: there is nothing to"
                " unpack or to verify; 'snapfs check --deep' checks what is stored"
            )
        case TreeReference():
            raise InvalidArgumentError(
                f"{str(reference)!r} is plain directories: there is nothing to unpack"
                " or to verify; 'snapfs mount' shows them as they are"
            )


@contextlib.contextmanager
def suggesting_files(path: str) -> Iterator[None]:
    """Add the nearest names to the error that a path of the user's is not there."""
    try:
        yield
    except NotFoundError as error:
        if os.path.lexists(path):  # something in it is missing
            raise
        raise NotFoundError(f"{error}{_near_files(path)}") from error


def _near_files(path: str) -> str:
    directory, name = os.path.split(path.rstrip("/"))
    try:
        names = sorted(os.listdir(directory or "."))[:_SUGGESTION_LIMIT]
    except OSError:
        return ""  # no such directory: no names to offer
    return did_you_mean(name, names)


def _registry_source(reference: RegistryReference) -> ImageSource:
    # Here: HTTP takes a while to load, and most images come from files.
    from snapfs.image.registry.source import RegistrySource

    return RegistrySource(reference.image, registry_settings(), str(reference))


def registry_settings() -> RegistrySettings:
    """Return how registries are reached, by the user's environment."""
    from snapfs.image.registry.credentials import DockerConfig
    from snapfs.image.registry.proxies import read_proxies
    from snapfs.image.registry.settings import RegistrySettings

    return RegistrySettings(
        host_folders=_host_folders(),
        credentials=DockerConfig(_docker_config()),
        proxies=read_proxies(os.environ),
    )


def _host_folders() -> tuple[Path, ...]:
    """Return where ``hosts.toml`` files are, as the variable or the usage has it."""
    from pathlib import Path

    folders = os.environ.get("SNAPFS_CERTS_D") or _HOST_FOLDERS
    return tuple(map(Path, filter(None, folders.split(os.pathsep))))


def _docker_config() -> Path:
    """Return where Docker's command line keeps its logins."""
    from pathlib import Path

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
