"""A lost or damaged database, made anew from the sidecars.

Every directory says what it is. So the rows can be had again, but for what the
database alone knew: sizes that somebody asked for, and what was removed in the very
moment in which it was lost. Nothing on disk is removed: a directory that makes no
sense is put aside, where the next opening does not take it for garbage.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from snapfs.errors import DataLossError
from snapfs.metadata import MetadataStore, Row
from snapfs.model import NO_LABELS, IdMaps, Info, Kind
from snapfs.state import StatePaths, StoreIdentity
from snapfs.state.fsio import sync_directory
from snapfs.state.sidecar import SidecarRecord, read_sidecar

# Numbers above the highest that is still seen: any of them may have been issued, and
# its directory be gone since. It takes a while to use up so many without a trace.
_MARGIN: Final = 10_000

LOST: Final = "lost"
"""The directory in the root that holds what was put aside."""

_FILES: Final = ("", "-wal", "-shm")  # of a database in WAL mode


@dataclass(slots=True)
class Rebuilt:
    """What became of a store's database.

    Attributes:
        snapshots: How many there are now.
        kept: Where the damaged database lies now; "" if there was none.
        left_out: What could not be taken in, a line each, with its new place.
    """

    snapshots: int = 0
    kept: str = ""
    left_out: list[str] = field(default_factory=list)


def rebuild(paths: StatePaths, identity: StoreIdentity) -> Rebuilt:
    """Make the database of the store anew; the caller holds the root's lock.

    It appears by a rename: a crash leaves the old one, and this can be repeated.

    Raises:
        DataLossError: There are no snapshots' directories at all.
        OSError: As the filesystem says.
    """
    done = Rebuilt()
    records = dict(_records(paths, done))
    rows = _sound(paths, records, done)
    done.snapshots = len(rows)
    made = f"{paths.database}.new"
    _remove(made)
    metadata = MetadataStore.create(made, identity.store_id)
    try:
        metadata.adopt(rows, _highest_number(paths) + _MARGIN)
    finally:
        metadata.close()
    done.kept = _put_away(paths.database)
    os.rename(made, paths.database)
    sync_directory(paths.root)
    return done


def _records(paths: StatePaths, done: Rebuilt) -> Iterator[tuple[int, SidecarRecord]]:
    """Yield what each directory says of itself, by its number."""
    if not os.path.isdir(paths.snapshots):
        raise DataLossError(
            f"{paths.snapshots} is missing; mount or restore what holds it"
        )
    for parent in (paths.snapshots, paths.reserve):
        for name in _numbered(parent):
            directory = os.path.join(parent, name)
            try:
                record = read_sidecar(directory)
            except DataLossError as error:
                if parent == paths.snapshots:
                    _put_aside(paths, name, str(error), done)
                continue  # in the reserve: one that was never used
            if record.snapshot_id != int(name):
                text = f"{directory} is that of {record.snapshot_id}"
                _put_aside(paths, name, text, done)
                continue
            yield record.snapshot_id, record


def _sound(
    paths: StatePaths, records: Mapping[int, SidecarRecord], done: Rebuilt
) -> list[Row]:
    """Return the rows that can be, parents first; put the others aside."""
    holders = _holders(paths, records)
    rows: dict[int, Row] = {}
    # A number is given after those of its parents, but for parents given at commit.
    left = dict(sorted(records.items()))
    while left:
        ready = [r for r in left.values() if not r.parent_id or r.parent_id in rows]
        if not ready:
            break
        for record in ready:
            del left[record.snapshot_id]
            fault = _fault(paths, record, rows, holders)
            if fault:
                _put_aside(paths, str(record.snapshot_id), fault, done)
                continue
            rows[record.snapshot_id] = _row(record, rows)
    for record in left.values():
        text = f"{record.key!r}: its parent, number {record.parent_id}, is not there"
        _put_aside(paths, str(record.snapshot_id), text, done)
    return _with_their_layers(paths, rows, done)


def _holders(paths: StatePaths, records: Mapping[int, SidecarRecord]) -> dict[str, int]:
    """Return the number of the snapshot that has each key.

    Of two that say so it is the later one: the other was removed, and its directory's
    way into the trash was lost; or its commit was cut short, and its sidecar not yet
    mended when the name was given away.
    """
    sound = [record for record in records.values() if _has_content(paths, record)]
    sound.sort(key=lambda record: (record.updated_ns, record.snapshot_id))
    return {record.key: record.snapshot_id for record in sound}


def _has_content(paths: StatePaths, record: SidecarRecord) -> bool:
    is_own = record.layer_id == record.snapshot_id
    return not is_own or os.path.isdir(paths.fs(record.snapshot_id))


def _fault(
    paths: StatePaths,
    record: SidecarRecord,
    rows: Mapping[int, Row],
    holders: Mapping[str, int],
) -> str:
    """Say why a record cannot become a row; "" if it can."""
    if not _has_content(paths, record):
        return f"{record.key!r}: its content is gone"
    other = holders[record.key]
    if other != record.snapshot_id:
        return f"{record.key!r} is the key of number {other}, too"
    if record.parent_id and rows[record.parent_id].kind is not Kind.COMMITTED:
        return f"{record.key!r}: its parent is not committed"
    return ""


def _with_their_layers(
    paths: StatePaths, rows: dict[int, Row], done: Rebuilt
) -> list[Row]:
    """Leave out what shares a layer that is gone, and all that lies on it."""
    sound: dict[int, Row] = {}
    for number, row in rows.items():
        fault = ""
        if row.parent_id and row.parent_id not in sound:
            fault = f"{row.key!r}: its parent was left out"
        elif row.layer_id not in rows:
            fault = f"{row.key!r}: its layer, number {row.layer_id}, is not there"
        if fault:
            _put_aside(paths, str(number), fault, done)
        else:
            sound[number] = row
    return list(sound.values())


def _row(record: SidecarRecord, rows: Mapping[int, Row]) -> Row:
    labels = MappingProxyType(record.labels) if record.labels else NO_LABELS
    parent = rows[record.parent_id].key if record.parent_id else ""
    return Row(
        info=Info(
            name=record.key,
            parent=parent,
            kind=record.kind,
            created_ns=record.created_ns,
            updated_ns=record.updated_ns,
            labels=labels,
        ),
        snapshot_id=record.snapshot_id,
        parent_id=record.parent_id,
        owner=record.owner,
        driver=record.driver,
        layer_id=record.layer_id,
        root_opaque=record.root_opaque,
        durability=record.durability,
        generation=record.generation,
        index_generation=record.index_generation,
        id_maps=IdMaps(record.uid_map, record.gid_map) if record.uid_map else None,
    )


def _numbered(parent: str) -> list[str]:
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return []
    return [name for name in names if name.isascii() and name.isdigit()]


def _highest_number(paths: StatePaths) -> int:
    lost = os.path.join(paths.root, LOST)
    parents = (paths.snapshots, paths.reserve, paths.staging, paths.trash, lost)
    return max((int(n) for p in parents for n in _numbered(p)), default=0)


def _put_aside(paths: StatePaths, name: str, why: str, done: Rebuilt) -> None:
    """Move a numbered directory where nobody takes it for garbage."""
    lost = os.path.join(paths.root, LOST)
    os.makedirs(lost, mode=0o700, exist_ok=True)
    place = os.path.join(lost, name)
    for parent in (paths.snapshots, paths.reserve):
        with contextlib.suppress(FileNotFoundError):
            os.rename(os.path.join(parent, name), place)
    done.left_out.append(f"{why}; its directory is {place} now")


def _put_away(database: str) -> str:
    """Rename a damaged database and its other files; return the new name."""
    if not os.path.lexists(database):
        _remove(database)  # a log without its database would be taken for the new one's
        return ""
    number = 1
    while os.path.lexists(kept := f"{database}.damaged-{number}"):
        number += 1
    for suffix in reversed(_FILES):  # the database last: it says that there is one
        with contextlib.suppress(FileNotFoundError):
            os.rename(database + suffix, kept + suffix)
    return kept


def _remove(database: str) -> None:
    for suffix in _FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(database + suffix)
