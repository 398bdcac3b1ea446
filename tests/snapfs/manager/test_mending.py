"""Sidecars after a crash: a service answers before they are compared."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapfs.manager import SnapshotManager, mending
from snapfs.manager.sidecars import sidecar_of
from snapfs.model import Info, Kind
from snapfs.state.sidecar import (
    SidecarRecord,
    append_sidecar,
    read_sidecar,
    sidecar_says,
)
from support.sandbox import wait_until
from support.stores import commit_layer, opened_store


def crash(store: SnapshotManager) -> None:
    """End as a killed process does: nothing is recorded any more."""
    store.metadata.mark_dirty()
    store.metadata.require_recovery()


def said(store: SnapshotManager, key: str) -> SidecarRecord:
    return read_sidecar(store.details(key).directory)


def wanted(store: SnapshotManager, key: str) -> SidecarRecord:
    return sidecar_of(store.metadata.get(key), "user.")


def announce(store: SnapshotManager, snapshot: str, **changes: Any) -> None:  # noqa: ANN401 - of any type
    """Write the sidecar of a change that then never happens."""
    record = wanted(store, snapshot)
    changes["generation"] = record.generation + 1
    announced = dataclasses.replace(record, **changes)
    append_sidecar(store.details(snapshot).directory, announced)


@pytest.fixture
def crashed(root: Path) -> Path:
    """Return the root of a store that announced two changes and was killed."""
    with opened_store(root) as store:
        commit_layer(store, "layer", file="content")
        store.prepare("active")
        for number in range(40):  # more than one thread takes
            store.prepare(f"other-{number}")
        announce(store, "layer", labels={"never": "happened"})
        announce(store, "active", kind=Kind.COMMITTED, key="name")
        crash(store)
    return root


@pytest.fixture
def service(crashed: Path) -> Iterator[SnapshotManager]:
    """Open it as a service does, which answers at once."""
    with opened_store(crashed, reserve_size=1) as store:
        assert said(store, "layer") != wanted(store, "layer")
        yield store


def was_clean(root: Path) -> bool:
    with opened_store(root) as store:
        return store.metadata.was_clean


def test_a_command_finds_all_sidecars_mended(crashed: Path) -> None:
    with opened_store(crashed) as store:
        assert said(store, "layer") == wanted(store, "layer")
        assert said(store, "active") == wanted(store, "active")

    assert was_clean(crashed)


def test_a_service_mends_them_in_the_background(service: SnapshotManager) -> None:
    service.continue_recovery()

    wait_until(
        lambda: all(
            said(service, k) == wanted(service, k) for k in ("layer", "active")
        ),
        "mended sidecars",
    )
    assert service.check() == []


def test_check_waits_until_all_are_mended(service: SnapshotManager) -> None:
    assert service.check() == []


def test_a_verb_that_comes_first_is_not_taken_back(service: SnapshotManager) -> None:
    service.update(Info("layer", labels={"l": "2"}))
    service.commit("name", "active")
    service.remove("other-7")
    service.prepare("new", "name")
    service.continue_recovery()

    assert service.check() == []
    assert said(service, "layer").labels == {"l": "2"}
    assert said(service, "name").kind is Kind.COMMITTED


def test_a_usage_that_is_asked_for_first_changes_nothing(
    service: SnapshotManager,
) -> None:
    # The row is another one then, and the sidecar was not written with it.
    service.usage("layer")
    service.finish_recovery()

    assert said(service, "layer") == wanted(service, "layer")


def test_a_service_that_ends_first_leaves_the_rest_to_the_next(crashed: Path) -> None:
    with opened_store(crashed, reserve_size=1) as store:
        store.prepare("new")

    assert not was_clean(crashed)
    assert was_clean(crashed)


def test_ending_waits_for_the_threads(
    crashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(directory: str, record: SidecarRecord) -> bool:
        entered.set()
        go_on.wait()
        return sidecar_says(directory, record)

    monkeypatch.setattr(mending, "sidecar_says", slow)
    with opened_store(crashed, reserve_size=1) as store:
        store.continue_recovery()
        entered.wait()
        closing = threading.Thread(target=store.close)
        closing.start()
        mender = store._mender
        assert mender is not None
        wait_until(lambda: mender._closing, "the beginning of the end")
        assert closing.is_alive()

        go_on.set()
        closing.join()

        assert [t for t in threading.enumerate() if t.name == "mender"] == []


def test_a_sidecar_that_cannot_be_mended_is_tried_again(
    crashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_directory: str, _record: SidecarRecord) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mending, "append_sidecar", full)
    with opened_store(crashed) as store:
        assert {finding.subject for finding in store.check()} == {"layer", "active"}
    monkeypatch.undo()

    with opened_store(crashed) as store:
        assert not store.metadata.was_clean
        assert store.check() == []


def test_it_is_done_without_threads_where_there_are_no_more(
    service: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "mender":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    service.continue_recovery()
    service.finish_recovery()
    monkeypatch.undo()

    assert service.check() == []


def test_a_clean_store_is_not_compared(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_store(root) as store:
        store.prepare("a")
    read: list[str] = []
    monkeypatch.setattr(mending, "sidecar_says", lambda place, _r: read.append(place))

    with opened_store(root) as store:
        store.finish_recovery()

    assert read == []


def test_it_is_said_of_the_row_that_is_there_now(service: SnapshotManager) -> None:
    old = service.metadata.get("active")
    service.remove("active")
    service.prepare("active")

    service.finish_recovery()

    assert service.metadata.get("active").snapshot_id != old.snapshot_id
    assert said(service, "active") == wanted(service, "active")
