"""Publishing: staged layers become committed snapshots, all at once.

An image of forty layers costs one sync and one transaction, not forty of each. The
order is that of every verb (``docs/on-disk.md``, "Crash order"): content and sidecars
are on disk, then the directories have their names, then the rows exist.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import MappingProxyType

from snapfs.errors import InvalidArgumentError, NotFoundError
from snapfs.light_typing import Final
from snapfs.manager import views
from snapfs.manager.disk_errors import disk_errors
from snapfs.manager.gate import Gate
from snapfs.manager.parts import ManagerParts
from snapfs.manager.reclaim import Reclaimer
from snapfs.manager.sidecars import sidecar_of
from snapfs.metadata import Row
from snapfs.metadata.labels import checked_labels
from snapfs.model import Durability, Info, Kind, NewLayer, Owner

# Far more than overlayfs mounts; a caller that wants more has lost count.
_MAX_STAGED: Final = 4096


class LayerPublisher:
    """Implements :class:`snapfs.snapshotter.LayerStore` for the owner of a root."""

    def __init__(self, parts: ManagerParts, reclaimer: Reclaimer, gate: Gate) -> None:
        self._parts = parts
        self._metadata = parts.metadata
        self._directories = parts.directories
        self._reclaimer = reclaimer
        self._gate = gate

    def stage(self, count: int) -> list[int]:
        """See :meth:`snapfs.snapshotter.LayerStore.stage`."""
        if not 0 <= count <= _MAX_STAGED:
            raise InvalidArgumentError(
                f"cannot stage {count} layers; at most {_MAX_STAGED} at a time"
            )
        if count:
            self._parts.space.refuse_unpack(f"unpacking {count} layers")
        with self._gate.open():
            self._metadata.mark_dirty()
            return [self._metadata.allocate_id() for _ in range(count)]

    def publish(
        self, layers: Sequence[NewLayer], durability: Durability | None = None
    ) -> None:
        """See :meth:`snapfs.snapshotter.LayerStore.publish`."""
        durability = durability or self._parts.durability
        with self._gate.open():
            rows = self._rows(layers, durability)
            self._metadata.check_publish(rows)
            self._refuse_too_long(rows)
            self._metadata.mark_dirty()
            completed: list[int] = []
            with self._reclaimer.in_flight(*(row.snapshot_id for row in rows)):
                try:
                    with disk_errors(f"publishing {len(rows)} layers"):
                        self._place(rows, durability, completed)
                    self._metadata.publish(rows)
                except Exception:
                    for number in completed:
                        self._directories.undo_complete(number)
                    raise

    def _rows(self, layers: Sequence[NewLayer], durability: Durability) -> list[Row]:
        """Return the rows that ``layers`` become; nothing is changed yet."""
        now_ns = time.time_ns()
        rows: dict[str, Row] = {}
        for layer in layers:
            number = layer.snapshot_id
            if not 0 < number < self._metadata.first_unused_id or (
                self._metadata.is_needed(number)
            ):
                raise InvalidArgumentError(
                    f"snapshot {layer.name!r}: {number} is no number of a"
                    " staged directory"
                )
            parent = self._row(rows, layer.parent) if layer.parent else None
            shared = self._row(rows, layer.shares) if layer.shares else None
            own_index = layer.index_generation
            rows[layer.name] = Row(
                info=Info(
                    layer.name,
                    layer.parent,
                    Kind.COMMITTED,
                    now_ns,
                    now_ns,
                    MappingProxyType(checked_labels(layer.labels)),
                ),
                snapshot_id=layer.snapshot_id,
                parent_id=parent.snapshot_id if parent else 0,
                owner=Owner.LOCAL,
                driver=self._parts.driver,
                layer_id=shared.layer_id if shared else layer.snapshot_id,
                root_opaque=layer.root_opaque,
                durability=durability,
                usage=layer.usage,
                index_generation=shared.index_generation if shared else own_index,
            )
        if len(rows) != len(layers) or len(
            {row.snapshot_id for row in rows.values()}
        ) != len(layers):
            raise InvalidArgumentError("two layers have the same name or number")
        return list(rows.values())

    def _row(self, fresh: dict[str, Row], name: str) -> Row:
        row = fresh.get(name) or self._metadata.find(name)
        if row is None:
            raise NotFoundError(f"snapshot {name!r} does not exist")
        if row.kind is not Kind.COMMITTED:
            raise InvalidArgumentError(
                f"snapshot {name!r} is {row.kind}; only committed snapshots can be"
                " parents or shared"
            )
        return row

    def _refuse_too_long(self, rows: Sequence[Row]) -> None:
        """Refuse chains that nobody could mount."""
        fresh = {row.key: row for row in rows}
        parents = {row.info.parent for row in rows}
        for row in rows:
            if row.key not in parents:  # the stack of each other one is shorter
                stack = views.stack_of_layers(self._parts, self._chain(fresh, row))
                self._parts.mounts(row, stack, Owner.LOCAL)

    def _chain(self, fresh: dict[str, Row], row: Row) -> list[Row]:
        chain = [row]
        while not row.root_opaque and row.info.parent:
            if row.info.parent not in fresh:
                return [
                    *chain,
                    *self._metadata.layers(self._metadata.get(row.info.parent)),
                ]
            row = fresh[row.info.parent]
            chain.append(row)
        return chain

    def _place(
        self, rows: Sequence[Row], durability: Durability, completed: list[int]
    ) -> None:
        """Put the directories of ``rows`` in place; ``completed``: what to undo."""
        prefix = self._parts.identity.xattr_prefix
        for row in rows:
            self._directories.complete(sidecar_of(row, prefix))
            completed.append(row.snapshot_id)
        self._directories.sync_completed(
            completed, with_content=durability is not Durability.NONE
        )
        self._directories.publish_all(completed)
