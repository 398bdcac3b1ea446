"""The semantics gate: honest targets pass, others fail on what they break."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pytest

from snapfs.assembly import open_store
from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.protocols import (
    NO_COUNTS,
    Fairness,
    Family,
    SnapshotterTarget,
    Target,
    TreeTarget,
    Workspace,
)
from snapfs.benchmarks.results import ClaimResult
from snapfs.benchmarks.semantics import check_semantics, claims_about, first_problem
from snapfs.benchmarks.targets.plain_directory import PlainDirectory
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.model import NO_LABELS, Mount
from snapfs.snapshotter import Snapshotter
from support.benchmarking import FailsToStart, LosesData, ReturnsEarly, SharesData
from support.memory_store import MemoryStore


def problems(target: Target, directory: Path) -> dict[str, str]:
    """Return the essential claims that ``target`` breaks."""
    with open_workspaces(Backing.DIRECTORY, directory) as workspaces:
        results = check_semantics(target, workspaces)
    assert list(directory.iterdir()) == []
    return {each.claim: each.problem for each in results if each.problem}


def test_a_plain_directory_breaks_nothing_essential(tmp_path: Path) -> None:
    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        results = check_semantics(PlainDirectory(), workspaces)

    assert first_problem(results) == ""
    assert {each.claim for each in results if each.problem} == {
        "keeps hard links together",  # it copies file by file
        "keeps holes",
    }


@pytest.mark.parametrize(
    ("target", "claim"),
    [
        pytest.param(SharesData(), "never changes lower directories", id="shares"),
        pytest.param(LosesData(), "keeps what is written", id="loses"),
        pytest.param(ReturnsEarly(), "shows the merged tree", id="early"),
        pytest.param(FailsToStart(), "starts", id="fails"),
    ],
)
def test_a_tree_that_cheats_breaks_the_claim_in_question(
    tmp_path: Path, target: TreeTarget, claim: str
) -> None:
    assert claim in problems(target, tmp_path)


def test_only_essential_claims_reject() -> None:
    harmless = ClaimResult("keeps holes", is_essential=False, problem="none kept")
    fatal = ClaimResult("starts", is_essential=True, problem="it does not")

    assert first_problem([harmless]) == ""
    assert first_problem([harmless, fatal]) == "unavailable: it does not"


class Served:
    """A target whose snapshotter lives in this process."""

    name = "served"
    summary = "a fake"
    family = Family.SNAPSHOTTER
    address = ""

    def __init__(self) -> None:
        self._cleanup = contextlib.ExitStack()

    def fairness(self) -> Fairness:
        return Fairness("none", "none", "1")

    def unavailable(self) -> str:
        return ""

    def start(self, workspace: Workspace) -> None:
        store = open_store(str(workspace.directory / "root"), create=True)
        self.store: Snapshotter = self._cleanup.enter_context(store)

    def stop(self) -> None:
        self._cleanup.close()

    def processes(self) -> list[int]:
        return []

    def forget_caches(self) -> None:
        pass

    def counts(self) -> Mapping[str, int]:
        return NO_COUNTS

    def connect(self) -> Snapshotter:
        return cast(Snapshotter, NotClosing(self.store))


class NotClosing:
    """A client: closing it leaves the store open."""

    def __init__(self, store: Snapshotter) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def close(self) -> None:
        pass


class InMemory(Served):
    """Keeps the rules but has no files at all."""

    def start(self, workspace: Workspace) -> None:
        self.store = self.make()

    def make(self) -> Snapshotter:
        return MemoryStore()


class Forgetful(InMemory):
    """Acknowledges commits and drops every tenth snapshot."""

    def make(self) -> Snapshotter:
        class Store(MemoryStore):
            commits = 0

            def commit(
                self,
                name: str,
                key: str,
                labels: Mapping[str, str] = NO_LABELS,
                parent: str = "",
            ) -> None:
                super().commit(name, key, labels, parent)
                self.commits += 1
                if self.commits % 10 == 0:
                    super().commit(name, key)

        return Store()


class Sharing(Served):
    """Returns the same directory for every snapshot."""

    def start(self, workspace: Workspace) -> None:
        super().start(workspace)
        shared = workspace.directory / "shared"
        shared.mkdir()
        self.shared = [Mount("bind", str(shared), "", ("rbind", "rw"))]

    def connect(self) -> Snapshotter:
        return cast(Snapshotter, SharingClient(self.store, self.shared))


class SharingClient(NotClosing):
    def __init__(self, store: Snapshotter, shared: list[Mount]) -> None:
        super().__init__(store)
        self._shared = shared

    def prepare(self, key: str, parent: str = "") -> list[Mount]:
        self._store.prepare(key, parent)
        return self._shared

    def view(self, key: str, parent: str = "") -> list[Mount]:
        self._store.view(key, parent)
        return self._shared

    def mounts(self, key: str) -> list[Mount]:
        self._store.mounts(key)
        return self._shared


@pytest.mark.root
def test_a_real_store_holds_every_claim(tmp_path: Path) -> None:
    assert problems(Served(), tmp_path) == {}


@pytest.mark.root
def test_snapshots_that_share_one_directory_are_found(tmp_path: Path) -> None:
    found = problems(Sharing(), tmp_path)

    assert found["never changes parents"] == "a parent was changed"
    assert found["keeps children apart"] == "siblings share data"
    assert "keeps the rules of the contract" not in found


def test_a_store_that_forgets_breaks_its_claim(tmp_path: Path) -> None:
    assert "remembers snapshots" in problems(Forgetful(), tmp_path)


def test_rules_are_tried_without_root_and_data_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        results = check_semantics(InMemory(), workspaces)

    assert not any(each.problem for each in results)
    assert {each.claim for each in results if each.untested} == {
        "shows a child its parent",
        "never changes parents",
        "keeps children apart",
        "keeps what is committed",
    }


def test_both_families_have_claims() -> None:
    plain, served = PlainDirectory(), InMemory()
    assert isinstance(plain, TreeTarget)
    assert isinstance(served, SnapshotterTarget)

    for target in (plain, served):
        assert any(claim.is_essential for claim in claims_about(target))


@pytest.fixture(autouse=True)
def _no_mounts_left(tmp_path: Path) -> Iterator[None]:
    yield
    from snapfs import mountinfo

    assert mountinfo.mounts_below(str(tmp_path)) == []
