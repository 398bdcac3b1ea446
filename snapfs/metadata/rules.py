"""The rules of the contract that metadata decides, in containerd's order.

Source: ``core/snapshots/storage/bolt.go`` (createSnapshot, CommitActive, Remove).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from snapfs.metadata.index import SnapshotIndex
from snapfs.metadata.row import Row
from snapfs.model import Kind


def check_create(index: SnapshotIndex, key: str, parent: str) -> Row | None:
    """Check what prepare and view ask; return the parent's row.

    Raises:
        InvalidArgumentError: ``key`` is empty or no text, or the parent is not
            committed.
        NotFoundError: The parent does not exist.
        AlreadyExistsError: The key is taken.
    """
    if not key:
        raise InvalidArgumentError("a snapshot needs a key that is not empty")
    _check_text(key)
    parent_row = None
    if parent:
        parent_row = index.by_key(parent)
        if parent_row is None:
            raise NotFoundError(f"parent snapshot {parent!r} does not exist")
        if parent_row.kind is not Kind.COMMITTED:
            raise InvalidArgumentError(
                f"parent snapshot {parent!r} is {parent_row.kind}; only committed"
                " snapshots can be parents"
            )
    if index.by_key(key) is not None:
        raise AlreadyExistsError(f"snapshot {key!r} already exists")
    return parent_row


def check_commit(
    index: SnapshotIndex, name: str, key: str, parent: str
) -> tuple[Row, Row | None]:
    """Check what commit asks; return the rows of the key and of its parent.

    Raises:
        InvalidArgumentError: ``name`` is empty or no text, or ``parent`` differs
            from the parent that the snapshot has.
        AlreadyExistsError: ``name`` is taken.
        NotFoundError: There is no ``key``, or no ``parent``.
        FailedPreconditionError: ``key`` is not active, ``parent`` not committed.
    """
    if not name:
        raise InvalidArgumentError("a committed snapshot needs a name, not ''")
    _check_text(name)
    if index.by_key(name) is not None:
        raise AlreadyExistsError(f"committed snapshot {name!r} already exists")
    row = index.by_key(key)
    if row is None:
        raise NotFoundError(f"snapshot {key!r} does not exist")
    if row.kind is not Kind.ACTIVE:
        raise FailedPreconditionError(
            f"snapshot {key!r} is {row.kind}; only active snapshots commit"
        )
    has = row.info.parent
    if parent and has and parent != has:
        raise InvalidArgumentError(
            f"snapshot {key!r} has the parent {has!r}; it cannot be rebased on"
            f" {parent!r}"
        )
    if not parent:
        return row, None
    parent_row = index.by_key(parent)
    if parent_row is None:
        raise NotFoundError(f"parent snapshot {parent!r} does not exist")
    if parent_row.kind is not Kind.COMMITTED:
        raise FailedPreconditionError(
            f"parent snapshot {parent!r} is {parent_row.kind}, not committed"
        )
    return row, parent_row


def check_publish(index: SnapshotIndex, rows: Sequence[Row]) -> None:
    """Check what publishing committed ``rows`` asks, each on those before it.

    Raises:
        InvalidArgumentError: A name is empty or no text, or a parent is not
            committed, or a chain would have the same layer twice: the kernel
            refuses to mount it (``ovl_setup_trap``, "conflicting lowerdir path").
        AlreadyExistsError: A name is taken.
        NotFoundError: A parent, or the layer that a row shares, is gone.
    """
    fresh: dict[str, Row] = {}
    layers = {row.layer_id for row in rows if row.layer_id == row.snapshot_id}
    for row in rows:
        if row.key in fresh:
            raise AlreadyExistsError(f"snapshot {row.key!r} is published twice")
        parent = fresh.get(row.info.parent)
        if parent is None:
            parent = check_create(index, row.key, row.info.parent)
        else:
            check_create(index, row.key, "")
        refuse_other_parent(row, parent)
        if row.layer_id not in layers and not index.is_needed(row.layer_id):
            raise NotFoundError(
                f"snapshot {row.key!r}: the layer that it shares was removed"
            )
        _refuse_layer_twice(index, fresh, row)
        fresh[row.key] = row


def _refuse_layer_twice(
    index: SnapshotIndex, fresh: Mapping[str, Row], row: Row
) -> None:
    below: Row | None = row
    while below is not None and not below.root_opaque:
        below = fresh.get(below.info.parent) or index.by_id(below.parent_id)
        if below is not None and below.layer_id == row.layer_id:
            raise InvalidArgumentError(
                f"snapshot {row.key!r} would have the content of {below.key!r} twice"
                " in its chain, which overlayfs does not mount"
            )


def check_remove(index: SnapshotIndex, key: str) -> Row:
    """Check what remove asks; return the row.

    Raises:
        NotFoundError: There is no ``key``.
        FailedPreconditionError: It has children. containerd's test suite looks
            for the word "remove".
    """
    row = index.by_key(key)
    if row is None:
        raise NotFoundError(f"snapshot {key!r} does not exist")
    children = index.child_count(row.snapshot_id)
    if children:
        raise FailedPreconditionError(
            f"cannot remove snapshot {key!r}: {children} snapshot"
            f"{'s have' if children > 1 else ' has'} it as the parent"
        )
    return row


def refuse_other_parent(row: Row, parent: Row | None) -> None:
    """Refuse a parent that was removed, and its name given to another, meanwhile.

    Raises:
        NotFoundError: The parent that ``row`` was made on is gone.
    """
    if parent is not None and parent.snapshot_id != row.parent_id:
        raise NotFoundError(
            f"parent snapshot {parent.key!r} was removed; another has its name now"
        )


def _check_text(key: str) -> None:
    """Refuse what neither the database nor a sidecar can hold.

    A word of the command line that is not UTF-8 has lone surrogates
    (``os.fsdecode``).
    """
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"key {key!r} is not valid Unicode text") from error
