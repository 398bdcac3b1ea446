"""One snapshot, as the database and the index hold it."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.model import Durability, IdMaps, Info, Kind, Owner, Usage
from snapfs.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Row:
    """The metadata of one snapshot.

    Attributes:
        info: What the contract tells of it.
        snapshot_id: The number of its directory; never used again.
        parent_id: The ``snapshot_id`` of its parent; 0 for none.
        owner: Who made it.
        driver: The driver that mounts it, chosen when it was prepared.
        layer_id: Whose ``fs`` holds its content; another number than its own
            where a layer is shared.
        root_opaque: Nothing below this layer shows. A flag, because overlayfs
            ignores the opaque mark on the root of a layer.
        durability: How its data was written when it was committed.
        generation: Grows with every change; the sidecar has the same.
        index_generation: Of the layer's directory index; 0 for none.
        usage: Known usage; None where nobody has asked yet.
        id_maps: How the owners of its files are stored: a fact of the files, which
            stays when a commit replaces the labels that asked for it. None where
            they are those that a container sees.
    """

    info: Info
    snapshot_id: int
    parent_id: int
    owner: Owner
    driver: str
    layer_id: int
    root_opaque: bool = False
    durability: Durability = Durability.NONE
    generation: int = 1
    index_generation: int = 0
    usage: Usage | None = None
    id_maps: IdMaps | None = None

    @property
    def key(self) -> str:
        """The key of an active snapshot or view, the name of a committed one."""
        return self.info.name

    @property
    def kind(self) -> Kind:
        """View, active or committed."""
        return self.info.kind


def committed_row(
    old: Row,
    name: str,
    labels: Mapping[str, str],
    parent: Row | None,
    now_ns: int,
    durability: Durability,
    usage: Usage | None = None,
    id_maps: IdMaps | None = None,
) -> Row:
    """Return the row that ``old`` becomes when it is committed as ``name``."""
    return replace(
        old,
        info=Info(
            name=name,
            parent=parent.key if parent is not None else old.info.parent,
            kind=Kind.COMMITTED,
            created_ns=now_ns,
            updated_ns=now_ns,
            labels=labels,
        ),
        parent_id=parent.snapshot_id if parent is not None else old.parent_id,
        durability=durability,
        generation=old.generation + 1,
        usage=usage,
        id_maps=id_maps,
    )
