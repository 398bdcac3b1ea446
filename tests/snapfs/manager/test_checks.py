"""``check`` finds each contradiction, names it, and changes nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.manager import SnapshotManager
from snapfs.model import Info, Severity
from support.stores import commit_layer, disk_image, opened_store

Damage = Callable[[SnapshotManager, Path], object]


def directory(store: SnapshotManager, key: str) -> Path:
    return Path(store.details(key).directory)


def sql(statement: str) -> Damage:
    def run(store: SnapshotManager, _root: Path) -> None:
        store.metadata._connection.execute(statement)

    return run


def exchange_sidecars(store: SnapshotManager, _root: Path) -> None:
    shutil.copy(
        directory(store, "base") / "snapshot.log",
        directory(store, "a") / "snapshot.log",
    )


def hide_parent(store: SnapshotManager, _root: Path) -> None:
    store.metadata._index.discard(store.metadata.get("base"))


def make_parent_active(store: SnapshotManager, _root: Path) -> None:
    old = store.metadata.get("base")
    info = dataclasses.replace(old.info, kind=store.metadata.get("a").kind)
    store.metadata._index.replace(old, dataclasses.replace(old, info=info))


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        pytest.param(lambda _s, _r: None, set(), id="none"),
        pytest.param(
            lambda store, _r: shutil.rmtree(directory(store, "a")),
            {"missing-directory"},
            id="directory",
        ),
        pytest.param(
            lambda store, _r: shutil.rmtree(directory(store, "base") / "fs"),
            {"missing-directory"},
            id="fs",
        ),
        pytest.param(
            lambda store, _r: os.rmdir(directory(store, "a") / "work"),
            {"missing-directory"},
            id="work",
        ),
        pytest.param(
            lambda store, _r: os.unlink(directory(store, "a") / "snapshot.log"),
            {"sidecar"},
            id="sidecar",
        ),
        pytest.param(exchange_sidecars, {"sidecar"}, id="sidecar-of-another"),
        pytest.param(
            sql("UPDATE snapshots SET updated_ns = 1"), {"database"}, id="database"
        ),
        pytest.param(
            lambda _s, root: os.mkdir(root / "snapshots/100000"),
            {"number-not-issued", "orphan"},
            id="number",
        ),
        pytest.param(
            lambda _s, root: (root / "snapshots/notes").touch(),
            {"foreign-file"},
            id="foreign",
        ),
        pytest.param(
            hide_parent, {"missing-parent", "database", "orphan"}, id="parent"
        ),
        pytest.param(
            make_parent_active,
            {"parent-not-committed", "database", "sidecar"},
            id="parent-kind",
        ),
    ],
)
def test_each_contradiction_is_found(
    root: Path, damage: Damage, codes: set[str]
) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base")
        store.prepare("a", "base")
        damage(store, root)
        before = disk_image(root / "snapshots")

        findings = store.check()

        assert {finding.code for finding in findings} == codes
        assert all("\n" not in finding.detail for finding in findings)
        warnings = {"orphan", "foreign-file"}
        assert all(
            (finding.severity is Severity.WARNING) == (finding.code in warnings)
            for finding in findings
        )
        assert disk_image(root / "snapshots") == before


def test_changes_during_a_check_are_no_contradictions(
    store: SnapshotManager,
) -> None:
    done = threading.Event()
    failures: list[object] = []

    def change() -> None:
        turn = 0
        while not done.is_set():
            turn += 1
            store.prepare(f"a{turn}")
            store.update(Info(f"a{turn}", labels={"turn": str(turn)}))
            store.commit(f"c{turn}", f"a{turn}")
            store.usage(f"c{turn}")
            store.remove(f"c{turn}")

    changing = threading.Thread(target=change)
    changing.start()
    for _ in range(60):
        failures.extend(store.check())
    done.set()
    changing.join()

    assert failures == []
