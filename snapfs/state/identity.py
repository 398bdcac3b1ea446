"""Which store a directory is: made once, checked at every opening."""

from __future__ import annotations

import os

from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from snapfs.light_typing import Final, TypeVar
from snapfs.state.fsio import replace_file
from snapfs.state.paths import StatePaths
from snapfs.values import dataclass

_Field = TypeVar("_Field", str, int)

FORMAT_NAME: Final = "snapfs-store"
FORMAT_VERSION: Final = 1

# What a creation that was cut short may have left; all of it is empty of snapshots.
_OURS: Final = frozenset(
    {
        "ballast",
        "lock",
        "lost+found",  # the root may be a filesystem of its own
        "metadata.db",
        "metadata.db-journal",
        "metadata.db-shm",
        "metadata.db-wal",
        "reserve",
        "snapfs.sock",
        "snapshots",
        "staging",
        "store.json.new",
        "trash",
    }
)

# Where these two stand in the file as it is written, among what quotes set apart.
_ID_WORD: Final = 9
_PREFIX_WORD: Final = 13
_WRITTEN_WORDS: Final = 15

# Directories in which something is tried or bound; a kill leaves them behind.
SCRATCH_PREFIX: Final = ".snapfs-"


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """The content of ``store.json``.

    Attributes:
        format: Always :data:`FORMAT_NAME`.
        version: Of the on-disk format; readers refuse what is newer than they know.
        store_id: A random UUID, repeated in the database: the two belong together.
        xattr_prefix: ``trusted.`` or ``user.``: where overlayfs marks are kept.
            Under the other prefix deleted files would reappear, so it is fixed.
    """

    format: str
    version: int
    store_id: str
    xattr_prefix: str


def open_identity(paths: StatePaths, default_prefix: str) -> tuple[StoreIdentity, bool]:
    """Read the identity of the store at ``paths``, or make a new one.

    The caller holds the root's lock. A new identity is not written yet: the caller
    makes the database first and then calls :func:`write_identity`, so that a store
    that has an identity is complete.

    Returns:
        The identity, and whether it is new.

    Raises:
        InvalidArgumentError: The directory holds something else.
        FailedPreconditionError: A newer version made the store.
        DataLossError: ``store.json`` cannot be read.
    """
    try:
        with open(paths.identity, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        _refuse_foreign_directory(paths)
        import uuid  # here: it is slow to load, and most stores are there

        identity = StoreIdentity(
            format=FORMAT_NAME,
            version=FORMAT_VERSION,
            store_id=str(uuid.uuid4()),
            xattr_prefix=default_prefix,
        )
        return identity, True
    try:
        identity = _read(paths, content)
    except (ValueError, RecursionError) as error:
        raise DataLossError(
            f"{paths.identity} is damaged ({error}); restore it from a backup"
        ) from error
    if identity.xattr_prefix not in ("trusted.", "user."):
        raise DataLossError(
            f"{paths.identity} is damaged: unknown xattr prefix"
            f" {identity.xattr_prefix!r}; restore it from a backup"
        )
    return identity, False


def write_identity(paths: StatePaths, identity: StoreIdentity) -> None:
    """Complete a new store: from now on the directory is one."""
    replace_file(paths.identity, _written(identity.store_id, identity.xattr_prefix))


def _written(store_id: str, xattr_prefix: str) -> bytes:
    """Return ``store.json`` as it is written: JSON, of words without any escape."""
    return f"""\
{{
  "format": "{FORMAT_NAME}",
  "version": {FORMAT_VERSION},
  "store_id": "{store_id}",
  "xattr_prefix": "{xattr_prefix}"
}}
""".encode()


def _as_written(content: bytes) -> StoreIdentity | None:
    """Return what a file of exactly this form says, without loading ``json``."""
    words = content.decode().split('"')
    if len(words) != _WRITTEN_WORDS:
        return None
    store_id, prefix = words[_ID_WORD], words[_PREFIX_WORD]
    is_plain = (store_id.replace("-", "") + prefix.replace(".", "")).isalnum()
    if not is_plain or content != _written(store_id, prefix):
        return None
    return StoreIdentity(FORMAT_NAME, FORMAT_VERSION, store_id, prefix)


def _read(paths: StatePaths, content: bytes) -> StoreIdentity:
    """Read an identity; what every version of it has comes first.

    Raises:
        ValueError: It is not of the form.
    """
    identity = _as_written(content)
    if identity is not None:
        return identity
    import json  # here: few have their store.json from another hand

    document = json.loads(content.decode())
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 - of what a file holds
    name = _field(document, "format", str)
    version = _field(document, "version", int)
    _check_header(paths, name, version)
    return StoreIdentity(
        format=name,
        version=version,
        store_id=_field(document, "store_id", str),
        xattr_prefix=_field(document, "xattr_prefix", str),
    )


def _field(document: dict[str, object], name: str, kind: type[_Field]) -> _Field:
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name!r} is {value!r}")  # noqa: TRY004 - as above
    return value


def _check_header(paths: StatePaths, name: str, version: int) -> None:
    if name != FORMAT_NAME:
        raise InvalidArgumentError(
            f"{paths.root} is no snapfs store: {paths.identity} says"
            f" {name!r}; choose another --root"
        )
    if version > FORMAT_VERSION:
        raise FailedPreconditionError(
            f"store {paths.root} has format version {version}; this snapfs"
            f" knows up to {FORMAT_VERSION}: use the newer snapfs that made it"
        )
    if version < 1:
        raise DataLossError(
            f"{paths.identity} is damaged: there was no version {version};"
            " restore it from a backup"
        )


def _refuse_foreign_directory(paths: StatePaths) -> None:
    """Refuse to make a store among files that are not ours."""
    names = set(os.listdir(paths.root))
    if "snapshots" in names and os.listdir(paths.snapshots):
        raise DataLossError(
            f"{paths.identity} is missing but {paths.snapshots} is not empty;"
            " restore store.json from a backup"
        )
    foreign = sorted(
        name for name in names - _OURS if not name.startswith(SCRATCH_PREFIX)
    )
    if foreign:
        raise InvalidArgumentError(
            f"{paths.root} is not empty and no snapfs store (it holds"
            f" {foreign[0]!r}); choose another --root"
        )
