"""A damaged or foreign database is told apart, and left as it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    SnapfsError,
)
from snapfs.metadata import MetadataStore
from support.rows import STORE_ID, active, committed, opened

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of 200 snapshots, closed."""
    database = tmp_path / "metadata.db"
    with opened(database) as metadata:
        base = committed(metadata, "base")
        for number in range(20):
            committed(metadata, f"layer-{number}", base)
    with sqlite3.connect(database) as connection:
        connection.executemany(
            "INSERT INTO snapshots SELECT ?, ?, parent_id, kind, owner, labels,"
            " created_ns, updated_ns, driver, ?, root_opaque, durability, generation,"
            " index_generation, usage_bytes, usage_inodes, uid_map, gid_map"
            " FROM snapshots"
            " WHERE snapshot_id = 2",
            [(number, f"copy-{number}", number) for number in range(1000, 1200)],
        )
    connection.close()
    assert database.stat().st_size >= 8 * PAGE
    return database


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def truncate(size: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(size)

    return damage


def garbage(offset: int, size: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        overwrite(path, offset, b"\xa5" * size)

    return damage


def garbage_after_the_first_page(path: Path) -> None:
    overwrite(path, PAGE, b"\xa5" * (path.stat().st_size - PAGE))


def halve(path: Path) -> None:
    truncate(path.stat().st_size // 2)(path)


def run_sql(*statements: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return damage


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param(truncate(0), DataLossError, id="empty"),
        pytest.param(
            run_sql("UPDATE snapshots SET parent_id = 5 WHERE snapshot_id = 5"),
            DataLossError,
            id="its-own-parent",
        ),
        pytest.param(
            run_sql(
                "UPDATE snapshots SET parent_id = 6 WHERE snapshot_id = 5",
                "UPDATE snapshots SET parent_id = 5 WHERE snapshot_id = 6",
            ),
            DataLossError,
            id="parents-in-a-circle",
        ),
        pytest.param(truncate(10), DataLossError, id="cut-in-the-magic"),
        pytest.param(truncate(50), DataLossError, id="cut-in-the-header"),
        pytest.param(truncate(PAGE), DataLossError, id="cut-after-the-first-page"),
        pytest.param(halve, DataLossError, id="half"),
        pytest.param(garbage(0, 16), DataLossError, id="magic"),
        pytest.param(garbage(16, 84), DataLossError, id="header"),
        pytest.param(garbage(100, PAGE - 100), DataLossError, id="schema-page"),
        pytest.param(garbage_after_the_first_page, DataLossError, id="all-pages"),
        pytest.param(Path.unlink, DataLossError, id="missing"),
        pytest.param(
            lambda path: path.write_bytes(b"#!/bin/sh\necho no database\n" * 400),
            DataLossError,
            id="another-file",
        ),
        pytest.param(
            run_sql("PRAGMA user_version = 2"), FailedPreconditionError, id="newer"
        ),
        pytest.param(run_sql("PRAGMA user_version = 0"), DataLossError, id="no-schema"),
        pytest.param(run_sql("DROP TABLE snapshots"), SnapfsError, id="no-table"),
        pytest.param(
            run_sql("UPDATE store SET value = 'other' WHERE name = 'store_id'"),
            DataLossError,
            id="of-another-store",
        ),
        pytest.param(
            run_sql("DELETE FROM store WHERE name = 'next_id'"),
            DataLossError,
            id="no-next-number",
        ),
        pytest.param(
            run_sql("UPDATE store SET value = 'x' WHERE name = 'next_id'"),
            DataLossError,
            id="next-number-is-none",
        ),
        pytest.param(
            run_sql("UPDATE snapshots SET kind = 'odd' WHERE snapshot_id = 3"),
            DataLossError,
            id="unknown-kind",
        ),
        pytest.param(
            run_sql("UPDATE snapshots SET uid_map = '0:1:1' WHERE snapshot_id = 3"),
            DataLossError,
            id="half-a-map",
        ),
        pytest.param(
            run_sql("UPDATE snapshots SET labels = '{' WHERE snapshot_id = 3"),
            DataLossError,
            id="labels",
        ),
        pytest.param(
            run_sql("UPDATE snapshots SET labels = '{\"a\": 1}' WHERE snapshot_id = 3"),
            DataLossError,
            id="label-values",
        ),
        pytest.param(
            run_sql("UPDATE snapshots SET parent_id = 999 WHERE snapshot_id = 3"),
            DataLossError,
            id="unknown-parent",
        ),
        pytest.param(
            run_sql(
                "UPDATE snapshots SET key = CAST(x'ff80' AS TEXT) WHERE snapshot_id = 3"
            ),
            DataLossError,
            id="text-that-is-none",
        ),
    ],
)
def test_a_database_that_cannot_be_used_is_refused_and_changes_nothing(
    path: Path, damage: Callable[[Path], None], error: type[SnapfsError]
) -> None:
    damage(path)
    before = path.read_bytes() if path.exists() else None

    with pytest.raises(error) as raised:
        MetadataStore.open(str(path), STORE_ID)

    assert str(path) in str(raised.value)
    assert (path.read_bytes() if path.exists() else None) == before


def test_damage_is_found_where_no_row_is_read(path: Path) -> None:
    # A table is read at opening, an index when it is written or checked.
    with sqlite3.connect(path) as connection:
        (root_page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'snapshots_by_parent'"
        ).fetchone()
    connection.close()
    overwrite(path, (root_page - 1) * PAGE, b"\xa5" * PAGE)

    with opened(path) as metadata:
        assert metadata.integrity_errors()
        with pytest.raises(DataLossError):
            active(metadata, "new", metadata.get("base"))

        assert metadata.find("new") is None


def test_a_table_that_breaks_while_it_is_open_is_a_finding(path: Path) -> None:
    with opened(path) as metadata:
        size = path.stat().st_size
        metadata._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        metadata._connection.execute("PRAGMA cache_size = 0")
        metadata._connection.execute("PRAGMA shrink_memory")
        overwrite(path, PAGE, b"\xa5" * (size - PAGE))

        assert metadata.integrity_errors()


def test_a_change_behind_our_back_is_a_finding(path: Path) -> None:
    with opened(path) as metadata:
        # Nobody else can: the file is this process's own.
        metadata._connection.execute("UPDATE snapshots SET generation = 77")

        assert "differs" in metadata.integrity_errors()[0]


def test_a_clash_that_only_the_database_knows_is_damage(path: Path) -> None:
    with opened(path) as metadata:
        metadata._connection.execute(
            "UPDATE snapshots SET key = 'new' WHERE snapshot_id = 1000"
        )

        with pytest.raises(DataLossError, match="UNIQUE"):
            active(metadata, "new")

        assert metadata.find("new") is None


def test_the_creation_of_a_database_is_one_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Cut short after the tables, the next opening would find no numbers.
    path = tmp_path / "metadata.db"
    from snapfs.metadata import schema

    calls = 0
    write_value = schema.write_value

    def fail_the_third_time(
        connection: sqlite3.Connection, name: str, value: str
    ) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise sqlite3.OperationalError("cut short")
        write_value(connection, name, value)

    monkeypatch.setattr(schema, "write_value", fail_the_third_time)
    with pytest.raises(SnapfsError):
        MetadataStore.create(str(path), STORE_ID)
    monkeypatch.undo()

    metadata = MetadataStore.create(str(path), STORE_ID)
    assert metadata.allocate_id() == 1
    metadata.close()


def test_a_database_with_snapshots_gets_no_new_identity(path: Path) -> None:
    before = path.read_bytes()

    with pytest.raises(DataLossError, match=r"store\.json is missing"):
        MetadataStore.create(str(path), "another-id")

    assert path.read_bytes() == before
