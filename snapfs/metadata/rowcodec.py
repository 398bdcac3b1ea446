"""Rows to and from the columns of the database."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

from snapfs.errors import DataLossError
from snapfs.light_typing import Any, Final, TypeAlias
from snapfs.metadata.row import Row
from snapfs.model import NO_LABELS, Durability, IdMaps, Info, Kind, Owner, Usage

COLUMNS: Final = (
    "snapshot_id",
    "key",
    "parent_id",
    "kind",
    "owner",
    "labels",
    "created_ns",
    "updated_ns",
    "driver",
    "layer_id",
    "root_opaque",
    "durability",
    "generation",
    "index_generation",
    "usage_bytes",
    "usage_inodes",
    "uid_map",
    "gid_map",
)

SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM snapshots"  # noqa: S608 - our own
INSERT: Final = (
    f"INSERT INTO snapshots ({', '.join(COLUMNS)})"  # noqa: S608 - our own constants
    f" VALUES ({', '.join('?' * len(COLUMNS))})"
)
UPDATE: Final = (
    f"UPDATE snapshots SET {', '.join(f'{name} = ?' for name in COLUMNS)}"  # noqa: S608
    " WHERE snapshot_id = ?"
)

_NO_LABELS: Final = "{}"
# msgspec reads six times as fast as json, and takes 9 ms to load: that of so many rows.
_MANY_ROWS: Final = 3_000


_LabelsReader: TypeAlias = Callable[[str], dict[str, str]]


def _read_labels(text: str) -> dict[str, str]:
    plain = _plain_labels(text)
    if plain is not None:
        return plain
    import json  # here: it takes a tenth of the time of a mount to load

    labels = json.loads(text)
    if not isinstance(labels, dict) or set(map(type, labels.values())) - {str}:
        raise ValueError("labels are no object of strings")
    return labels


def _plain_labels(text: str) -> dict[str, str] | None:
    """Return labels as :func:`encode_row` writes them, if none has a sign escaped."""
    parts = text.split('"')
    count = len(parts) // 4
    if "\\" in text or not text.isprintable() or not count:
        return None
    if parts[::2] != ["{", *[":", ","] * (count - 1), ":", "}"]:
        return None
    return dict(zip(parts[1::4], parts[3::4], strict=True))


@functools.cache
def _fast_reader() -> _LabelsReader:
    from msgspec.json import Decoder

    return Decoder(dict[str, str]).decode


@functools.cache
def _labels_encoder() -> Callable[[object], bytes]:
    from msgspec.json import Encoder

    return Encoder().encode


def encode_row(row: Row) -> tuple[object, ...]:
    """Return the values of :data:`COLUMNS` for ``row``."""
    info, usage, id_maps = row.info, row.usage, row.id_maps
    return (
        row.snapshot_id,
        info.name,
        row.parent_id or None,
        info.kind.value,
        row.owner.value,
        _labels_encoder()(dict(info.labels)).decode() if info.labels else _NO_LABELS,
        info.created_ns,
        info.updated_ns,
        row.driver,
        row.layer_id,
        int(row.root_opaque),
        row.durability.value,
        row.generation,
        row.index_generation,
        usage.size_bytes if usage else None,
        usage.inodes if usage else None,
        id_maps.uids if id_maps else None,
        id_maps.gids if id_maps else None,
    )


def _decode_row(
    record: tuple[Any, ...], names: Mapping[object, Any], read: _LabelsReader
) -> Row:
    """Return the row of the values of :data:`COLUMNS`.

    ``names`` maps each ``snapshot_id`` to its key, for the parents.

    Raises:
        KeyError: The parent does not exist.
        ValueError: A word or the labels make no sense.
    """
    (snapshot_id, key, parent_id, kind, owner, labels, created, updated) = record[:8]
    (driver, layer_id, root_opaque, durability, generation, index_generation) = record[
        8:14
    ]
    (usage_bytes, usage_inodes, uid_map, gid_map) = record[14:]
    decoded = {} if labels == _NO_LABELS else read(labels)
    if (uid_map is None) != (gid_map is None):
        raise ValueError(f"{key!r} has one of two identity maps")
    return Row(
        info=Info(
            name=key,
            parent=names[parent_id] if parent_id is not None else "",
            kind=Kind(kind),
            created_ns=created,
            updated_ns=updated,
            labels=MappingProxyType(decoded) if decoded else NO_LABELS,
        ),
        snapshot_id=snapshot_id,
        parent_id=parent_id or 0,
        owner=Owner(owner),
        driver=driver,
        layer_id=layer_id,
        root_opaque=bool(root_opaque),
        durability=Durability(durability),
        generation=generation,
        index_generation=index_generation,
        usage=Usage(usage_bytes, usage_inodes) if usage_bytes is not None else None,
        id_maps=IdMaps(uid_map, gid_map) if uid_map is not None else None,
    )


def decode_rows(stored: list[tuple[object, ...]], path: str) -> list[Row]:
    """Return the rows of :data:`SELECT` from the database ``path``.

    Parents are stored by number and told by name.

    Raises:
        DataLossError: One makes no sense, or is its own ancestor.
    """
    names = {record[0]: record[1] for record in stored}
    read = _read_labels if len(stored) < _MANY_ROWS else _fast_reader()
    try:
        rows = [_decode_row(record, names, read) for record in stored]
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise DataLossError(
            f"{path} holds a row that makes no sense: {error}"
        ) from error
    _refuse_cycles(rows, path)
    return rows


def _refuse_cycles(rows: list[Row], path: str) -> None:
    """Refuse what no sequence of verbs can make and what would never end a walk."""
    parents = {row.snapshot_id: row.parent_id for row in rows}
    settled = {0}  # these lead to a snapshot without a parent
    for row in rows:
        chain: set[int] = set()
        number = row.snapshot_id
        while number not in settled:
            if number in chain:
                raise DataLossError(
                    f"{path} holds a row that makes no sense: the parents of"
                    f" {row.key!r} go round in a circle"
                )
            chain.add(number)
            number = parents[number]
        settled |= chain
