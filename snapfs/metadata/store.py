"""MetadataStore: the rows of all snapshots, changed by transactions only."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Iterator, Sequence

from snapfs import values
from snapfs.errors import NotFoundError, SnapfsError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.logs import Log
from snapfs.metadata import database, integrity, rules, schema
from snapfs.metadata.clean_mark import CleanMark
from snapfs.metadata.index import SnapshotIndex
from snapfs.metadata.row import Row
from snapfs.metadata.rowcodec import INSERT, SELECT, UPDATE, decode_rows, encode_row
from snapfs.model import Usage

if TYPE_CHECKING:
    import sqlite3

_log = Log(__name__)

# Numbers are reserved in blocks, so that most snapshots need no extra write for
# theirs. What is left of a block at the end is lost, never handed out again.
_ID_BLOCK: Final = 64


class MetadataStore:
    """The metadata of one store.

    Every verb checks its rules and writes in one transaction that is on disk when
    the verb returns; on an error nothing has changed. Reads come from memory and
    never wait for a writer. All methods may be called from any thread.

    Attributes:
        mark: Whether the store will be clean when it is closed.
    """

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self._connection = connection
        self._path = path
        self._lock = allocate_lock()
        with database.errors_of(path):
            self._next_id = schema.read_number(connection, "next_id", path)
            was_clean = schema.read_value(connection, "clean") == "1"
            stored = connection.execute(SELECT).fetchall()
        self._reserved_to = self._next_id
        self.mark = CleanMark(was_clean=was_clean)
        self._index = SnapshotIndex(decode_rows(stored, path))

    @classmethod
    def create(cls, path: str, store_id: str) -> MetadataStore:
        """Make the database of a new store.

        Raises:
            DataLossError: There is one already, with snapshots or damaged.
            SnapfsError: As :func:`snapfs.metadata.database.connect`.
        """
        # SQLite gives its other files the mode of this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = database.connect(path, create=True)
        try:
            with database.transaction(connection, path):
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version == 0:  # else a creation was cut short after this step
                    schema.create(connection, store_id)
                schema.refuse_snapshots(connection, path)
                schema.write_value(connection, "store_id", store_id)
            return cls(connection, path)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open(cls, path: str, store_id: str) -> MetadataStore:
        """Open the database of the store ``store_id``.

        Raises:
            DataLossError: It is missing, damaged or of another store.
            FailedPreconditionError: A newer version made it.
        """
        connection = database.connect(path, create=False)
        try:
            with database.errors_of(path):
                schema.verify(connection, store_id, path)
            return cls(connection, path)
        except BaseException:
            connection.close()
            raise

    # -- reading ---------------------------------------------------------------

    def get(self, key: str) -> Row:
        """Return the row of ``key``.

        Raises:
            NotFoundError: There is none.
        """
        row = self._index.by_key(key)
        if row is None:
            raise NotFoundError(f"snapshot {key!r} does not exist")
        return row

    def find(self, key: str) -> Row | None:
        """Return the row of ``key``, or None."""
        return self._index.by_key(key)

    def find_directory(self, snapshot_id: int) -> Row | None:
        """Return the row whose directory has this number, or None."""
        return self._index.by_id(snapshot_id)

    def rows(self) -> list[Row]:
        """Return all rows as they are now."""
        return self._index.rows()

    def __len__(self) -> int:
        """Return the number of snapshots."""
        return len(self._index)

    def is_current(self, row: Row) -> bool:
        """Whether the snapshot of ``row`` is still there, changed or not."""
        return self._index.by_id(row.snapshot_id) is not None

    def layers(self, row: Row) -> Iterator[Row]:
        """Yield ``row`` and what shows below it, highest first.

        Stops after a layer whose root is opaque.
        """
        yield row
        yield from self.layers_below(row)

    def layers_below(self, row: Row) -> Iterator[Row]:
        """Yield what shows below ``row``, highest first.

        Found by number: a name may belong to another snapshot by now. A row's
        ancestors stay as long as the row does, so this needs no lock; if the row
        is gone at the end (:meth:`is_current`), layers may be missing.
        """
        current: Row | None = row
        while current is not None and not current.root_opaque:
            current = self._index.by_id(current.parent_id)
            if current is not None:
                yield current

    def is_needed(self, directory_id: int) -> bool:
        """Whether a numbered directory belongs to a row, as its own or as a layer."""
        return self._index.is_needed(directory_id)

    @property
    def first_unused_id(self) -> int:
        """No directory can have this number or a higher one, but in flight."""
        return self._reserved_to

    @property
    def was_clean(self) -> bool:
        """Whether the store was closed properly before it was opened this time."""
        return self.mark.was_clean

    # -- rules, before the expensive part of a verb ----------------------------

    def check_create(self, key: str, parent: str) -> Row | None:
        """Raise what :meth:`create_snapshot` would; return the parent's row."""
        return rules.check_create(self._index, key, parent)

    def check_commit(self, name: str, key: str, parent: str) -> tuple[Row, Row | None]:
        """Raise what :meth:`commit` would; return the rows of key and parent."""
        return rules.check_commit(self._index, name, key, parent)

    def check_publish(self, rows: Sequence[Row]) -> None:
        """Raise what :meth:`publish` would."""
        rules.check_publish(self._index, rows)

    def check_remove(self, key: str) -> Row:
        """Raise what :meth:`remove` would; return the row."""
        return rules.check_remove(self._index, key)

    # -- writing ---------------------------------------------------------------

    def allocate_id(self) -> int:
        """Return a number that no snapshot ever had, whatever happens next."""
        with self._lock:
            if self._next_id == self._reserved_to:
                limit = self._reserved_to + _ID_BLOCK
                with database.transaction(self._connection, self._path):
                    schema.write_value(self._connection, "next_id", str(limit))
                self._reserved_to = limit
            self._next_id += 1
            return self._next_id - 1

    def create_snapshot(self, row: Row) -> None:
        """Add the active snapshot or view ``row``; its directory is complete.

        Raises:
            NotFoundError, InvalidArgumentError, AlreadyExistsError: As
                :meth:`snapfs.snapshotter.Snapshotter.prepare`.
        """
        with self._lock:
            parent = rules.check_create(self._index, row.key, row.info.parent)
            rules.refuse_other_parent(row, parent)
            with database.transaction(self._connection, self._path):
                self._connection.execute(INSERT, encode_row(row))
            self._index.add(row)

    def commit(self, old: Row, new: Row) -> None:
        """Turn the active ``old`` into the committed ``new``.

        The caller keeps others from changing ``old`` meanwhile.

        Raises:
            AlreadyExistsError, NotFoundError, FailedPreconditionError,
            InvalidArgumentError: As :meth:`snapfs.snapshotter.Snapshotter.commit`.
        """
        with self._lock:
            _row, parent = rules.check_commit(
                self._index, new.key, old.key, new.info.parent
            )
            rules.refuse_other_parent(new, parent)
            self._write(old, new)

    def publish(self, rows: Sequence[Row]) -> None:
        """Add committed rows, parents first; their directories are complete.

        Raises:
            AlreadyExistsError, NotFoundError, InvalidArgumentError: As
                :meth:`snapfs.snapshotter.LayerStore.publish`.
        """
        with self._lock:
            rules.check_publish(self._index, rows)
            with database.transaction(self._connection, self._path):
                self._connection.executemany(INSERT, map(encode_row, rows))
            for row in rows:
                self._index.add(row)

    def adopt(self, rows: Sequence[Row], next_id: int) -> None:
        """Take in the rows of a store whose database is lost, parents first.

        Into a new database only; numbers below ``next_id`` are never issued.
        """
        with self._lock:
            with database.transaction(self._connection, self._path):
                self._connection.executemany(INSERT, map(encode_row, rows))
                schema.write_value(self._connection, "next_id", str(next_id))
                # Whoever opens it compares every row with the disk.
                schema.write_value(self._connection, "clean", "0")
            for row in rows:
                self._index.add(row)
            self._next_id = self._reserved_to = next_id

    def replace(self, old: Row, new: Row) -> None:
        """Change what a row says; key, parent and kind stay.

        The caller keeps others from changing ``old`` meanwhile.

        Raises:
            NotFoundError: The row is gone.
        """
        with self._lock:
            if self._index.by_key(old.key) is not old:
                raise NotFoundError(f"snapshot {old.key!r} does not exist")
            self._write(old, new)

    def set_usage(self, row: Row, usage: Usage) -> None:
        """Remember the usage of the committed snapshot ``row``.

        No change of the snapshot: the sidecar does not hold it. The caller keeps
        others from changing ``row`` meanwhile.
        """
        self.replace(row, values.replace(row, usage=usage))

    def remove(self, key: str) -> Row:
        """Delete the row of ``key``, durably; return it.

        Raises:
            NotFoundError: There is none.
            FailedPreconditionError: It has children.
        """
        with self._lock:
            row = rules.check_remove(self._index, key)
            with database.transaction(self._connection, self._path):
                self._connection.execute(
                    "DELETE FROM snapshots WHERE snapshot_id = ?", (row.snapshot_id,)
                )
            self._index.discard(row)
            return row

    def mark_dirty(self) -> None:
        """Record durably that changes begin: a crash from now on will show.

        Call it before the first change to anything on disk; later calls are free.
        A store that is only read is never written.
        """
        if not self.mark.is_taken_off:
            with self._lock:
                self._set_clean(clean=False)
                self.mark.is_taken_off = True

    def preallocate_log(self) -> None:
        """Give the log of transactions its final size, on disk, for a service.

        A transaction then writes into blocks that the file has already, so making
        it durable needs no commit of the filesystem's journal. Without space nothing
        changes: the log grows as transactions need it.
        """
        from snapfs.metadata.log import preallocate_log

        with self._lock:
            preallocate_log(f"{self._path}-wal")

    def close(self) -> None:
        """Close the database and record that nothing was cut short.

        Where that cannot be recorded (a full disk), the next opening compares all
        rows with the disk, as after a crash; nothing else is lost.
        """
        with self._lock:
            try:
                if self.mark.is_due:
                    self._set_clean(clean=True)
            except SnapfsError as error:
                _log.warning("the store is not marked as clean: %s", error)
            finally:
                self._connection.close()

    def require_recovery(self) -> None:
        """Let the next opening compare all rows with the disk, as after a crash.

        For a verb that failed halfway and may not have undone what it did.
        """
        self.mark.has_failed = True

    def integrity_errors(self) -> list[str]:
        """Return what SQLite's own check finds wrong, and differences to memory."""
        with self._lock:
            return integrity.errors(self._connection, self._path, self._index)

    def _write(self, old: Row, new: Row) -> None:
        with database.transaction(self._connection, self._path):
            self._connection.execute(UPDATE, (*encode_row(new), old.snapshot_id))
        self._index.replace(old, new)

    def _set_clean(self, *, clean: bool) -> None:
        with database.transaction(self._connection, self._path):
            schema.write_value(self._connection, "clean", "1" if clean else "0")
            if clean:  # what is left of the block was never given to anything
                schema.write_value(self._connection, "next_id", str(self._next_id))
