"""The two trees that ``diff`` compares, each a chain of directories, highest first."""

from __future__ import annotations

import dataclasses

from snapfs.cli.directories import existing_directory, snapshot_directories
from snapfs.cli.session import Session, suggesting
from snapfs.errors import InvalidArgumentError
from snapfs.layer.stored_owners import StoredOwners
from snapfs.model import SnapshotDetails
from snapfs.overlay_format import XattrPrefix, fitting_prefix


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One tree.

    Attributes:
        layers: Its directories, highest first.
        below: Those that it is compared with unless others are named.
        prefix: Where they keep the marks of overlayfs; None where nobody knows.
        details: Of a snapshot.
    """

    layers: tuple[str, ...]
    below: tuple[str, ...]
    prefix: XattrPrefix | None = None
    details: SnapshotDetails | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sides:
    """Both trees, as the diff engine takes them.

    Attributes:
        owners: How the host's owners are shown: as the container of the first
            snapshot sees them, where it has a user namespace.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    prefix: XattrPrefix
    snapshots: tuple[SnapshotDetails, ...]
    owners: StoredOwners | None

    def check(self, session: Session) -> None:
        """Refuse what was read of snapshots that are not there any more.

        Raises:
            FailedPreconditionError: One of them was removed since.
        """
        if self.snapshots:
            # Here: it loads the parser of image configs.
            from snapfs.export.chain import check_chain

            with session.store() as store:
                check_chain(store, self.snapshots)


def read_sides(session: Session, what: str, other: str) -> Sides:
    """Find the tree ``what``, and ``other`` or else what lies below it.

    Raises:
        NotFoundError: A snapshot or a directory does not exist.
        InvalidArgumentError: One of them is an image.
    """
    after = _side(session, what)
    before = _side(session, other) if other else None
    known = [side for side in (after, before) if side is not None]
    prefixes = [side.prefix for side in known if side.prefix is not None]
    snapshots = tuple(side.details for side in known if side.details is not None)
    owners = (StoredOwners.of_snapshot(each) for each in snapshots)
    return Sides(
        before.layers if before is not None else after.below,
        after.layers,
        prefixes[0] if prefixes else fitting_prefix(),
        snapshots,
        next(filter(None, owners), None),
    )


def _side(session: Session, word: str) -> Side:
    if word.startswith(("/", ".")) or ":" in word:
        return _source(session, word)
    return _snapshot(session, word)


def _source(session: Session, word: str) -> Side:
    # Here: a plain key needs nothing of images.
    from snapfs.cli.image_sources import suggesting_files
    from snapfs.image.reference import (
        SnapshotReference,
        TreeReference,
        parse_source,
    )
    from snapfs.image.scheme_words import has_scheme

    if not (word.startswith(("/", ".")) or has_scheme(word)):
        return _snapshot(session, word)
    with suggesting_files(word.removeprefix("dir:")):
        reference = parse_source(word)
    match reference:
        case SnapshotReference(key):
            return _snapshot(session, key)
        case TreeReference(paths):
            layers = tuple(existing_directory(path) for path in paths)
            return Side(layers, layers[1:])
        case _:
            raise InvalidArgumentError(
                f"{word!r} is an image; 'snapfs image diff' compares images"
            )


def _snapshot(session: Session, key: str) -> Side:
    with session.store() as store, suggesting(store, key):
        details = store.details(key)
        parent = details.info.parent
        below = snapshot_directories(store.details(parent)) if parent else ()
        prefix = XattrPrefix(store.status().xattr_prefix)
    return Side(snapshot_directories(details), below, prefix, details)
