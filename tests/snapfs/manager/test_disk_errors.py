"""A failing disk: the right error, and nothing changed."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
)
from snapfs.manager import SnapshotManager
from snapfs.manager.sidecars import sidecar_of
from snapfs.model import Info
from snapfs.state.fsio import settle_with_next_sync
from snapfs.state.sidecar import append_sidecar, read_sidecar
from support.stores import commit_layer, fs_of, opened_store

FAILURES = [
    pytest.param(errno.ENOSPC, ResourceExhaustedError, id="full"),
    pytest.param(errno.EDQUOT, ResourceExhaustedError, id="quota"),
    pytest.param(errno.EMFILE, ResourceExhaustedError, id="descriptors"),
    pytest.param(errno.EACCES, PermissionDeniedError, id="access"),
    pytest.param(errno.EROFS, PermissionDeniedError, id="read-only"),
    pytest.param(errno.EIO, DataLossError, id="broken"),
]


@pytest.mark.parametrize("call", ["mkdir", "chmod", "fsync", "rename"])
@pytest.mark.parametrize(("number", "error"), FAILURES)
def test_a_prepare_that_fails_leaves_nothing(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[SnapfsError],
) -> None:
    with opened_store(root) as store:
        store.prepare("warm-up")  # the number is reserved already
        with monkeypatch.context() as patch:
            fail_once(patch, call, number)
            with pytest.raises(error, match="'a'"):
                store.prepare("a")

        assert [info.name for info in store.walk()] == ["warm-up"]
        assert store.check() == []
        store.prepare("a")


@pytest.mark.parametrize("call", ["pwrite", "settle"])
@pytest.mark.parametrize(("number", "error"), FAILURES)
def test_a_change_that_fails_is_undone(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    error: type[SnapfsError],
) -> None:
    # The words may be in the file although writing them out failed.
    with opened_store(root) as store:
        store.prepare("a", labels={"l": "1"})
        before = store.stat("a")
        for change in (
            lambda: store.update(Info("a", labels={"l": "2"})),
            lambda: store.commit("c", "a"),
        ):
            with monkeypatch.context() as patch:
                fail_once(patch, call, number)
                with pytest.raises(error, match="'a'"):
                    change()

            assert store.stat("a") == before
            assert store.check() == []
    with opened_store(root) as store:
        assert store.stat("a") == before
        assert store.check() == []


def test_what_could_not_be_undone_is_mended_at_the_next_opening(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_store(root) as store:
        store.prepare("a")
        with monkeypatch.context() as patch:
            patch.setattr(SETTLE, raising(errno.EIO))
            with pytest.raises(DataLossError):
                store.update(Info("a", labels={"l": "2"}))
        record = read_sidecar(store.details("a").directory)
        wrong = dataclasses.replace(store.metadata.get("a"), generation=9)
        append_sidecar(
            store.details("a").directory, sidecar_of(wrong, record.xattr_prefix)
        )

    with opened_store(root) as store:
        assert store.check() == []


def test_a_removal_succeeds_although_its_directory_cannot_be_moved(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened_store(root) as store:
        store.prepare("a")
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", raising(errno.EBUSY))
            store.remove("a")

        assert [finding.code for finding in store.check()] == ["orphan"]
        assert len(store.reclaim()) == 1
        assert store.check() == []


def test_a_removal_succeeds_although_no_thread_can_be_started(
    store: SnapshotManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prepare("a")
    store.prepare("b")

    def no_thread(_self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        store.remove("a")
    store.remove("b")
    store.finish_reclaim()

    assert store.status().trash_entries == 0


def test_a_parent_without_its_directory_is_damage(root: Path) -> None:
    with opened_store(root) as store:
        commit_layer(store, "base")
        fs_of(store, "base").rmdir()

        with pytest.raises(DataLossError, match="'base'"):
            store.prepare("a", "base")


SETTLE = "snapfs.state.sidecar.settle_with_next_sync"


def raising(number: int) -> object:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def fail_once(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let the next call fail; later ones, for undoing it, succeed."""
    original: Callable[..., object] = getattr(os, call, settle_with_next_sync)
    failed = False

    def fail(*args: object, **kwargs: object) -> object:
        nonlocal failed
        if not failed:
            failed = True
            if call in ("settle", "fsync"):
                original(*args, **kwargs)
            raise OSError(number, os.strerror(number))
        return original(*args, **kwargs)

    patch.setattr(SETTLE if call == "settle" else f"os.{call}", fail)
