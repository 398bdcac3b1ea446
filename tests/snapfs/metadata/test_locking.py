"""One process has the database: who else has it open is waited for, and named."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs.errors import UnavailableError
from snapfs.metadata import MetadataStore, database
from snapfs.metadata.holder import database_holder
from support.stores import commit_layer, opened_store

STORE_ID: Final = "1f0c2a8e"

READ: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
print(connection.execute("SELECT count(*) FROM snapshots").fetchone()[0], flush=True)
sys.stdin.read()
"""

CHANGE_AND_DIE: Final = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("UPDATE store SET value = '1000' WHERE name = 'next_id'")
os._exit(0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "metadata.db"
    MetadataStore.create(str(place), STORE_ID).close()
    return place


@contextlib.contextmanager
def reader(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has read the database and stays; it ends with its input."""
    with subprocess.Popen(
        [sys.executable, "-c", READ, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        yield process


def read_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ, path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_who_has_it_open_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.01)
    with reader(path) as process:
        named = rf"open in process {process.pid} \(.*python.*\); .* `snapfs backup`$"
        with pytest.raises(UnavailableError, match=named):
            MetadataStore.open(str(path), STORE_ID)

    MetadataStore.open(str(path), STORE_ID).close()


def test_who_has_closed_it_is_not_named(path: Path) -> None:
    assert str(database_holder(str(path))) == "another process"


def test_who_ends_soon_is_waited_for(path: Path) -> None:
    opened: list[MetadataStore] = []
    with reader(path) as process:
        waiting = threading.Thread(
            target=lambda: opened.append(MetadataStore.open(str(path), STORE_ID))
        )
        waiting.start()
        assert process.stdin is not None
        process.stdin.close()
        waiting.join()

    [metadata] = opened
    metadata.close()


def test_nobody_else_reads_it_whatever_its_owner_does(tmp_path: Path) -> None:
    # Closing any descriptor of the file would drop the locks of the whole process.
    root = tmp_path / "store"
    with opened_store(root, reserve_size=1) as store:
        store.metadata.preallocate_log()
        commit_layer(store, "layer", file="content")
        store.prepare("work", "layer")
        store.usage("layer")
        store.remove("work")
        store.reclaim()
        store.status()
        assert store.check() == []

        done = read_elsewhere(root / "metadata.db")

        assert "database is locked" in done.stderr
    assert read_elsewhere(root / "metadata.db").stdout == "1\n"


def test_what_a_killed_older_version_left_is_taken_over(path: Path) -> None:
    subprocess.run([sys.executable, "-c", CHANGE_AND_DIE, path], check=True)
    left = {name for name in os.listdir(path.parent) if name.startswith(path.name)}
    assert left == {path.name, f"{path.name}-wal", f"{path.name}-shm"}

    metadata = MetadataStore.open(str(path), STORE_ID)

    assert metadata.first_unused_id == 1000
    assert not Path(f"{path}-shm").exists()
    metadata.close()
    assert os.listdir(path.parent) == [path.name]


def test_an_older_version_goes_on_where_this_one_was_killed(path: Path) -> None:
    child = os.fork()
    if child == 0:
        metadata = MetadataStore.open(str(path), STORE_ID)
        metadata.allocate_id()
        os._exit(0)
    os.waitpid(child, 0)
    assert Path(f"{path}-wal").stat().st_size > 0

    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT value FROM store WHERE name = 'next_id'")
        assert found.fetchone() == ("65",)
