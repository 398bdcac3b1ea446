"""Copies, links, snapshots and unions of others: each is let in, or named for why not.

What the gate says of them is what reports print, so it is tried on real filesystems.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.protocols import Cell, Target, TreeTarget
from snapfs.benchmarks.scenarios.presented import why_no_tree
from snapfs.benchmarks.scenarios.tree_preparation import TreePreparation
from snapfs.benchmarks.semantics import check_semantics, first_problem
from snapfs.benchmarks.targets import TARGETS, builds
from snapfs.benchmarks.targets.copied_trees import (
    BtrfsSnapshot,
    FullCopy,
    HardLinkFarm,
    ReflinkCopy,
)
from snapfs.benchmarks.targets.fuse_mergerfs import Mergerfs, MergerfsLinkCow
from snapfs.benchmarks.targets.fuse_overlayfs import FuseOverlayfsBuild
from snapfs.benchmarks.targets.overlay_tree import KernelOverlayfsMetacopy
from snapfs.benchmarks.workspaces import Workspaces, open_workspaces

SIZE_BYTES = 512 << 20


def judge(target: Target, workspaces: Workspaces) -> str:
    return first_problem(check_semantics(target, workspaces))


def on(backing: Backing, tmp_path: Path, *targets: Target) -> list[str]:
    """Return what the gate says of ``targets``, all on one new filesystem."""
    if reason := backing.unavailable():
        pytest.skip(reason)
    for target in targets:
        if reason := target.unavailable():
            pytest.skip(reason)
    with open_workspaces(backing, tmp_path, SIZE_BYTES) as workspaces:
        return [judge(target, workspaces) for target in targets]


@pytest.mark.root
def test_on_xfs_copies_may_share_blocks_and_second_names_are_no_copies(
    tmp_path: Path,
) -> None:
    found = on(Backing.XFS, tmp_path, FullCopy(), ReflinkCopy(), HardLinkFarm())

    full, reflink, links = found
    assert (full, reflink) == ("", "")
    assert links == "not CoW: changes through the tree reached a lower directory"


@pytest.mark.root
def test_on_btrfs_snapshots_of_a_subvolume_are_trees(tmp_path: Path) -> None:
    found = on(Backing.BTRFS, tmp_path, ReflinkCopy(), BtrfsSnapshot())

    assert found == ["", ""]


@pytest.mark.root
def test_where_blocks_cannot_be_shared_that_is_the_reason(tmp_path: Path) -> None:
    found = on(Backing.EXT4, tmp_path, ReflinkCopy(), BtrfsSnapshot())

    assert found == [
        "unavailable: files on ext4 share no blocks (--backing xfs or btrfs)",
        "unavailable: it needs Btrfs below (--backing btrfs)",
    ]


@pytest.mark.root
@pytest.mark.fuse
@pytest.mark.parametrize("make", [Mergerfs, MergerfsLinkCow])
def test_mergerfs_writes_to_the_layers(
    make: Callable[[], Target], tmp_path: Path
) -> None:
    (found,) = on(Backing.DIRECTORY, tmp_path, make())

    assert found == "not CoW: changes through the tree reached a lower directory"


@pytest.mark.root
def test_metacopy_changes_attributes_without_the_data(tmp_path: Path) -> None:
    target = KernelOverlayfsMetacopy()
    if reason := target.unavailable():
        pytest.skip(reason)
    with open_workspaces(Backing.TMPFS, tmp_path, SIZE_BYTES) as workspaces:
        assert judge(KernelOverlayfsMetacopy(), workspaces) == ""
        lower = workspaces.take().directory
        (lower / "file").write_bytes(bytes(1 << 20))
        target.start(workspaces.take())
        root = target.present([lower], "tree")

        (root / "file").chmod(0o600)

        upper = root.parent / "up/file"
        assert upper.stat().st_blocks * 512 < 1 << 20
        target.stop()


@pytest.mark.parametrize(
    ("target", "program", "named"),
    [
        pytest.param(Mergerfs, "mergerfs", "mergerfs is not installed", id="mergerfs"),
        pytest.param(
            BtrfsSnapshot, "btrfs", "btrfs-progs is not installed", id="btrfs"
        ),
    ],
)
def test_without_its_program_a_target_says_so(
    target: Callable[[], Target],
    program: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)
    monkeypatch.setattr(shutil, "which", lambda name: "" if name == program else name)

    assert target().unavailable() == named


def test_a_target_without_root_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    for make in (Mergerfs, BtrfsSnapshot, KernelOverlayfsMetacopy):
        assert "needs root" in make().unavailable()


def test_a_build_is_a_target_named_by_its_path(tmp_path: Path) -> None:
    program = tmp_path / "fuse-overlayfs"
    program.write_text("#!/bin/sh\necho 'fuse-overlayfs: version 9.9'\n")
    program.chmod(0o700)
    name = f"fuse-overlayfs:{program}"

    found = builds([name, "fuse-overlayfs", "no-such-kind:/bin/true"])

    assert set(found) == {name}
    target = found[name]()
    assert isinstance(target, FuseOverlayfsBuild)
    assert target.name == name
    assert target.fairness().version == "9.9"


def test_a_build_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "access", lambda *_: True)

    target = FuseOverlayfsBuild("/no/such/program")

    assert target.unavailable() == "there is no program /no/such/program"


@pytest.mark.root
@pytest.mark.fuse
def test_an_installed_build_by_its_path_passes_the_gate(tmp_path: Path) -> None:
    program = shutil.which("fuse-overlayfs")
    if program is None:
        pytest.skip("fuse-overlayfs is not installed")

    found = on(Backing.DIRECTORY, tmp_path, FuseOverlayfsBuild(program))

    assert found == [""]


def test_a_full_copy_is_asked_only_how_it_is_made() -> None:
    assert why_no_tree(FullCopy()) == "once it is made it is a plain-directory"
    assert TreePreparation().refuses(FullCopy()) == ""


@pytest.mark.parametrize("make", [TARGETS["plain-directory"], FullCopy])
def test_a_prepared_tree_has_every_file_and_can_be_written_to(
    make: Callable[[], TreeTarget], tmp_path: Path
) -> None:
    scenario = TreePreparation()
    cell = Cell({"files": 120, "depth": 3})
    target = make()

    with open_workspaces(Backing.DIRECTORY, tmp_path) as workspaces:
        target.start(workspaces.take())
        trial = scenario.open(target, cell, workspaces.take(), seed=1)
        for _ in range(2):
            trial.set_up()
            trial.validate(trial.run_once())
            trial.tear_down()
        trial.close()
        target.stop()


def test_every_target_says_here_or_why_not() -> None:
    for name, make in TARGETS.items():
        target = make()
        assert target.name == name
        assert isinstance(target.unavailable(), str)
        assert target.fairness().durability
