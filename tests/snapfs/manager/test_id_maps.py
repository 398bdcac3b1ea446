"""How owners are stored is kept with a snapshot, whatever becomes of its labels."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

import pytest

from snapfs.manager.rebuilding import rebuild
from snapfs.metadata.rowcodec import COLUMNS
from snapfs.model import IdMaps, Info
from snapfs.overlay_format import GID_MAPPING_LABEL, UID_MAPPING_LABEL
from snapfs.state import StatePaths, open_identity
from support.stores import FakeDriver, opened_store

LABELS: Final = {
    UID_MAPPING_LABEL: "0:100000:65536",
    GID_MAPPING_LABEL: "0:200000:65536",
}
MAPS: Final = IdMaps("0:100000:65536", "0:200000:65536")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users"),
]


@pytest.mark.parametrize("labels", [{}, {"l": "1"}])
def test_a_commit_replaces_the_labels_and_keeps_the_maps(
    root: Path, labels: dict[str, str]
) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
        assert store.details("active").id_maps == MAPS

        store.commit("layer", "active", labels)

        assert store.stat("layer").labels == labels
        assert store.details("layer").id_maps == MAPS
    with opened_store(root) as store:
        assert store.details("layer").id_maps == MAPS
        assert store.check() == []


def test_a_snapshot_on_top_has_its_own(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
        store.commit("layer", "active")
        store.prepare("plain", "layer")

        assert store.details("plain").id_maps is None


def test_changing_the_labels_changes_no_file(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
        store.update(Info("active", labels={}))
        store.commit("layer", "active")

        assert store.details("layer").id_maps == MAPS


def test_a_driver_that_stores_what_the_container_sees_has_none(root: Path) -> None:
    drivers = {"fake": FakeDriver(stores_host_owners=False)}
    with opened_store(root, drivers=drivers) as store:
        store.prepare("active", labels=LABELS)
        store.commit("layer", "active")

        assert store.details("layer").id_maps is None


def test_a_lost_database_has_them_again(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
        store.commit("layer", "active")
    for path in root.glob("metadata.db*"):
        path.unlink()
    paths = StatePaths(str(root))

    rebuild(paths, open_identity(paths, "user.")[0])

    with opened_store(root) as store:
        assert store.details("layer").id_maps == MAPS
        assert store.check() == []


# -- stores of versions that did not note them --------------------------------------


def made_older(root: Path) -> None:
    """Make the database what an older version would have made."""
    with sqlite3.connect(root / "metadata.db") as connection:
        connection.execute("ALTER TABLE snapshots DROP COLUMN uid_map")
        connection.execute("ALTER TABLE snapshots DROP COLUMN gid_map")
    connection.close()


def with_labels(labels: str) -> str:
    return f"UPDATE snapshots SET labels = '{labels}'"


@pytest.mark.parametrize(
    ("statement", "maps"),
    [
        pytest.param("SELECT 1", MAPS, id="as-prepared"),
        pytest.param(with_labels("{}"), None, id="without-labels"),
        pytest.param(
            with_labels(f'{{"{UID_MAPPING_LABEL}": "0:1:1"}}'), None, id="with-one"
        ),
    ],
)
def test_what_an_older_version_prepared_is_told_by_its_labels(
    root: Path, statement: str, maps: IdMaps | None
) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
    made_older(root)
    with sqlite3.connect(root / "metadata.db") as connection:
        connection.execute(statement)
    connection.close()

    with opened_store(root) as store:
        assert store.details("active").id_maps is None
        store.commit("layer", "active")

        assert store.details("layer").id_maps == maps
        assert store.check() == []


def test_an_older_version_can_use_the_database_still(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("active", labels=LABELS)
        store.commit("layer", "active")
    known = [name for name in COLUMNS if name not in ("uid_map", "gid_map")]
    with sqlite3.connect(root / "metadata.db") as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        listed = f"SELECT {', '.join(known)} FROM snapshots"
        [row] = connection.execute(listed).fetchall()
        assert version == 1
        assert len(row) == len(known)
        changed = f"UPDATE snapshots SET {' = ?, '.join(known)} = ?"
        connection.execute(changed, row)
    connection.close()

    with opened_store(root) as store:
        assert store.details("layer").id_maps == MAPS
