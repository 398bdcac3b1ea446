"""Rows as others want to see them: stacks for drivers, details for people."""

from __future__ import annotations

from collections.abc import Sequence

from snapfs.errors import InvalidArgumentError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.metadata import Row
from snapfs.model import Kind, SnapshotDetails, Stack

if TYPE_CHECKING:
    from snapfs.manager.parts import ManagerParts


def stack_of(parts: ManagerParts, row: Row) -> Stack:
    """Return the directories of an active snapshot or a view.

    The row need not be in the store yet; its parent must be.
    """
    lowerdirs = _lowerdirs_below(parts, row)
    if row.kind is Kind.VIEW:
        own = "" if lowerdirs else parts.paths.fs(row.layer_id)
        return Stack(Kind.VIEW, lowerdirs, upperdir=own, labels=row.info.labels)
    return Stack(
        Kind.ACTIVE,
        lowerdirs,
        upperdir=parts.paths.fs(row.layer_id),
        workdir=parts.paths.work(row.layer_id),
        labels=row.info.labels,
    )


def stack_on(parts: ManagerParts, row: Row, parent: Row) -> Stack:
    """Return the longest stack that a snapshot on ``row`` on ``parent`` would have."""
    lowerdirs = (
        parts.paths.fs(row.layer_id),
        *(parts.paths.fs(layer.layer_id) for layer in parts.metadata.layers(parent)),
    )
    return Stack(Kind.VIEW, lowerdirs, labels=row.info.labels)


def stack_of_layers(parts: ManagerParts, layers: Sequence[Row]) -> Stack:
    """Return the stack of a view on ``layers``, highest first."""
    return Stack(Kind.VIEW, tuple(parts.paths.fs(layer.layer_id) for layer in layers))


def browse_stack(parts: ManagerParts, row: Row, upperdir: str, workdir: str) -> Stack:
    """Return the stack that shows the content of a snapshot of any kind.

    Raises:
        InvalidArgumentError: Only one of ``upperdir`` and ``workdir`` is given.
    """
    if bool(upperdir) != bool(workdir):
        raise InvalidArgumentError("upperdir and workdir go together")
    below = _lowerdirs_below(parts, row)
    has_own = row.kind is not Kind.VIEW or not below
    own = (parts.paths.fs(row.layer_id),) if has_own else ()
    if upperdir:
        return Stack(
            Kind.ACTIVE, (*own, *below), upperdir, workdir, labels=row.info.labels
        )
    return Stack(Kind.VIEW, (*own, *below), labels=row.info.labels)


def details(parts: ManagerParts, row: Row) -> SnapshotDetails:
    """Return what the store knows of a snapshot."""
    return SnapshotDetails(
        info=row.info,
        owner=row.owner,
        directory=parts.paths.directory(row.snapshot_id),
        content=parts.paths.fs(row.layer_id),
        lowerdirs=_lowerdirs_below(parts, row),
        driver=row.driver,
        durability=row.durability,
        usage=row.usage,
        id_maps=row.id_maps,
    )


def _lowerdirs_below(parts: ManagerParts, row: Row) -> tuple[str, ...]:
    """Return the content directories below ``row``, highest first."""
    return tuple(
        parts.paths.fs(layer.layer_id) for layer in parts.metadata.layers_below(row)
    )
