"""What ``check`` asks of the database: SQLite's own checks, and the index."""

from __future__ import annotations

from snapfs.errors import DataLossError
from snapfs.light_typing import TYPE_CHECKING
from snapfs.metadata.database import errors_of
from snapfs.metadata.index import SnapshotIndex
from snapfs.metadata.rowcodec import SELECT, decode_rows

if TYPE_CHECKING:
    import sqlite3


def errors(
    connection: sqlite3.Connection, path: str, index: SnapshotIndex
) -> list[str]:
    """Return what is wrong with the database ``path``; the caller keeps writers out."""
    found: list[str] = []
    try:
        with errors_of(path):
            answers = connection.execute("PRAGMA quick_check").fetchall()
            found += [str(text) for (text,) in answers if text != "ok"]
            broken = connection.execute("PRAGMA foreign_key_check").fetchall()
            stored = connection.execute(SELECT).fetchall()
        on_disk = {row.snapshot_id: row for row in decode_rows(stored, path)}
    except DataLossError as error:  # too damaged to go on: that is a finding too
        return [*found, str(error)]
    found += [f"row {row[1]} names a parent that does not exist" for row in broken]
    if on_disk != {row.snapshot_id: row for row in index.rows()}:
        found.append("the database differs from what this process holds in memory")
    return found
