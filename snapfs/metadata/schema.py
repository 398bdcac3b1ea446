"""The tables, and how they are made and recognised."""

from __future__ import annotations

from snapfs.errors import DataLossError, FailedPreconditionError
from snapfs.light_typing import TYPE_CHECKING, Final
from snapfs.metadata.database import ADVICE

if TYPE_CHECKING:
    import sqlite3

SCHEMA_VERSION: Final = 1

# Columns that came later. An older version names those that it knows and leaves
# these as they are, so that it need not refuse the database.
_LATER: Final = {"uid_map": "TEXT", "gid_map": "TEXT"}

# STRICT keeps a number a number whoever writes it. Text is UTF-8; a key that is
# not valid UTF-8 cannot come over gRPC and is refused on the command line.
_TABLES: Final = (
    """
CREATE TABLE store (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
""",
    """
CREATE TABLE snapshots (
    snapshot_id      INTEGER PRIMARY KEY,
    key              TEXT NOT NULL UNIQUE,
    parent_id        INTEGER REFERENCES snapshots (snapshot_id),
    kind             TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
    owner            TEXT NOT NULL CHECK (owner IN ('containerd', 'local')),
    labels           TEXT NOT NULL,
    created_ns       INTEGER NOT NULL,
    updated_ns       INTEGER NOT NULL,
    driver           TEXT NOT NULL,
    layer_id         INTEGER NOT NULL,
    root_opaque      INTEGER NOT NULL,
    durability       TEXT NOT NULL,
    generation       INTEGER NOT NULL,
    index_generation INTEGER NOT NULL,
    usage_bytes      INTEGER,
    usage_inodes     INTEGER,
    uid_map          TEXT,
    gid_map          TEXT
) STRICT
""",
    "CREATE INDEX snapshots_by_parent ON snapshots (parent_id)",
)


def create(connection: sqlite3.Connection, store_id: str) -> None:
    """Make the tables of a new store; the caller's transaction makes it one step."""
    for statement in _TABLES:
        connection.execute(statement)
    for name, value in (("store_id", store_id), ("next_id", "1"), ("clean", "1")):
        write_value(connection, name, value)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def verify(connection: sqlite3.Connection, store_id: str, path: str) -> None:
    """Refuse a database that is not this store's or that we cannot read.

    One that an older version made gets the columns that came later.

    Raises:
        FailedPreconditionError: A newer version made it.
        DataLossError: It belongs to another store or has no tables.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise FailedPreconditionError(
            f"{path} has schema version {version}; this snapfs knows up to"
            f" {SCHEMA_VERSION}: use the newer snapfs that made it"
        )
    if version == 0:
        raise DataLossError(f"{path} is empty; {ADVICE}")
    found = read_value(connection, "store_id")
    if found != store_id:
        raise DataLossError(
            f"{path} belongs to store {found}, but store.json says {store_id};"
            " put the two files of one store together"
        )
    _complete(connection)


def _complete(connection: sqlite3.Connection) -> None:
    """Add the columns that an older version did not make, in one transaction."""
    known = {row[1] for row in connection.execute("PRAGMA table_info(snapshots)")}
    missing = [name for name in _LATER if name not in known]
    if not (known and missing):  # without the table it is damaged: reading it says so
        return
    connection.execute("BEGIN IMMEDIATE")
    for name in missing:
        connection.execute(f"ALTER TABLE snapshots ADD COLUMN {name} {_LATER[name]}")
    connection.execute("COMMIT")


def refuse_snapshots(connection: sqlite3.Connection, path: str) -> None:
    """Refuse to give a new identity to a database that has seen snapshots.

    Raises:
        DataLossError: It has; ``store.json`` is lost.
    """
    (rows,) = connection.execute("SELECT count(*) FROM snapshots").fetchone()
    if rows or read_value(connection, "next_id") != "1":
        raise DataLossError(
            f"{path} belongs to a store whose store.json is missing; restore"
            " store.json from a backup"
        )


def read_value(connection: sqlite3.Connection, name: str) -> str:
    """Return one value of the ``store`` table; "" if it is not there."""
    row = connection.execute(
        "SELECT value FROM store WHERE name = ?", (name,)
    ).fetchone()
    return str(row[0]) if row else ""


def read_number(connection: sqlite3.Connection, name: str, path: str) -> int:
    """Return one value of the ``store`` table as a number.

    Raises:
        DataLossError: It is none.
    """
    text = read_value(connection, name)
    if not (text.isascii() and text.isdigit()):
        raise DataLossError(f"{path} is damaged ({name} is {text!r}); {ADVICE}")
    return int(text)


def write_value(connection: sqlite3.Connection, name: str, value: str) -> None:
    """Set one value of the ``store`` table."""
    connection.execute(
        "INSERT INTO store VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
