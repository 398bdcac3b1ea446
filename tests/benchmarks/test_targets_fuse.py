"""Targets that serve trees through /dev/fuse: ours, and those of others found here."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from snapfs import mountinfo
from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.protocols import TreeTarget, Workspace
from snapfs.benchmarks.scenarios.layers import SHARED, file_names, make_layers
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.targets.catalog import TARGETS
from snapfs.benchmarks.targets.fuse_mfusepy import MfusepyLoopback
from snapfs.benchmarks.targets.fuse_overlayfs import (
    FuseOverlayfs,
    FuseOverlayfs2,
    FuseOverlayfsThreaded,
)
from snapfs.benchmarks.targets.fuse_snapfs import SnapfsFuse
from snapfs.benchmarks.targets.fuse_tree import FuseTree
from snapfs.benchmarks.targets.fuse_unionfs import UnionfsFuse
from snapfs.benchmarks.targets.overlay_tree import Place
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.errors import UnavailableError

pytestmark = [pytest.mark.root, pytest.mark.fuse]

TARGETS_HERE: list[Callable[[], FuseTree]] = [
    SnapfsFuse,
    partial(SnapfsFuse, "io"),
    FuseOverlayfs,
    FuseOverlayfsThreaded,
    FuseOverlayfs2,
    UnionfsFuse,
    MfusepyLoopback,
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("fs", "run"):
        (tmp_path / name).mkdir()
    return Workspace(tmp_path / "fs", tmp_path / "run", "as found")


@pytest.fixture(params=TARGETS_HERE, ids=lambda make: make().name)
def target(request: pytest.FixtureRequest, workspace: Workspace) -> Iterator[FuseTree]:
    made: FuseTree = request.param()
    if reason := made.unavailable():
        pytest.skip(reason)
    made.start(workspace)
    yield made
    processes = made.processes()
    made.stop()
    assert not mountinfo.mounts_below(str(workspace.directory))
    assert not any(psutil.pid_exists(process) for process in processes)


def test_every_layer_shows_and_what_is_written_goes_with_the_tree(
    target: FuseTree, tmp_path: Path
) -> None:
    layers = make_layers(tmp_path / "lower", 3, files=6)

    root = target.present(layers, "tree")
    listed = sorted(os.listdir(root / SHARED))
    (root / SHARED / "file000000").write_text("changed")
    target.dismiss("tree")

    assert isinstance(target, TreeTarget)
    assert listed == file_names(6)
    assert (layers[0] / SHARED / "file000000").read_text() == "file000000"
    assert not root.exists()


def test_a_tree_that_was_mounted_anew_is_another_process_with_the_same_files(
    target: FuseTree, tmp_path: Path
) -> None:
    layers = make_layers(tmp_path / "lower", 2, files=2)
    root = target.present(layers, "tree")
    (root / "new").write_text("kept")
    before = target.processes()

    target.forget_caches()

    assert (root / "new").read_text() == "kept"
    assert set(target.processes()).isdisjoint(before)


def test_a_server_that_has_died_leaves_no_mount(
    target: FuseTree, tmp_path: Path
) -> None:
    layers = make_layers(tmp_path / "lower", 1, files=1)
    target.present(layers, "tree")

    for process in target.processes():
        os.kill(process, signal.SIGKILL)

    target.dismiss("tree")


@pytest.mark.parametrize("mode", ["fast", "io"])
def test_our_server_tells_its_requests_and_what_it_copied(
    workspace: Workspace, tmp_path: Path, mode: str
) -> None:
    target = SnapfsFuse(mode)
    target.start(workspace)
    root = target.present(make_layers(tmp_path / "lower", 1, files=2), "tree")
    path = root / SHARED / "file000000"

    path.stat()
    before = target.counts()
    path.stat()
    warm = target.counts()
    os.chmod(path, 0o600)
    changed = target.counts()
    target.forget_caches()
    mounted_anew = target.counts()
    target.stop()

    assert warm["fuse_requests"] == before["fuse_requests"] > 0
    assert changed["fuse_requests"] > warm["fuse_requests"]
    assert changed["copied_up_bytes"] == len("file000000")
    assert mounted_anew["fuse_requests"] >= changed["fuse_requests"]


def test_our_server_has_the_index_of_each_layer_as_after_an_unpack(
    workspace: Workspace, tmp_path: Path
) -> None:
    target = SnapfsFuse()
    target.start(workspace)

    target.present(make_layers(tmp_path / "lower", 3, files=2), "tree")

    mapped: set[str] = set()
    for process in target.processes():
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
        mapped.update(line for line in lines if line.endswith("/dirindex"))
    target.stop()
    assert len(mapped) == 3


def test_a_server_that_refuses_its_arguments_is_named_with_its_words(
    workspace: Workspace, tmp_path: Path
) -> None:
    class Refused(SnapfsFuse):
        def __init__(self) -> None:
            super().__init__()
            self.options = ("no_such_option",)

    refused = Refused()
    refused.start(workspace)

    with pytest.raises(UnavailableError, match="no_such_option"):
        refused.present(make_layers(tmp_path / "lower", 1, files=1), "tree")
    refused.stop()


def test_the_engine_breaks_no_claim_of_the_gate(tmp_path: Path) -> None:
    target = SnapfsFuse()

    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        results = check_semantics(target, workspaces)

    assert first_problem(results) == ""


def test_each_is_listed_with_what_a_reader_must_know() -> None:
    for make in TARGETS_HERE:
        target = TARGETS[make().name]()
        assert target.summary
        assert target.fairness().threads
        if not target.unavailable():
            assert target.fairness().version


def test_what_is_not_installed_is_named() -> None:
    class Missing(FuseOverlayfs):
        def program(self) -> str:
            return ""

        def command(self, place: Place) -> tuple[str, ...]:
            raise AssertionError(place)

    assert Missing().unavailable() == "fuse-overlayfs is not installed"
