"""Mounts: what prepare, view and mounts hand out, mounted for real.

Tests that name a case are those of containerd's core/snapshots/testsuite.
"""

from __future__ import annotations

import errno
import stat

import pytest

from conformance.layers import Workbench
from conformance.population import POPULATION, commit_empty, populate
from snapfs.model import Kind
from snapfs.snapshotter import Snapshotter
from support.tree_changes import Directory, File, Mode, Owner


def test_the_root_of_a_new_snapshot_has_mode_0755(workbench: Workbench) -> None:
    """Upstream's RootPermission."""
    with workbench.mounted(workbench.snapshots.prepare("preparing")) as merged:
        mode = stat.S_IMODE(merged.stat().st_mode)

    assert mode == 0o755


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_view_takes_no_writes(workbench: Workbench, depth: int) -> None:
    """Upstream's ViewReadonly, there for one parent."""
    parent = ""
    for number in range(depth):
        workbench.commit_layer(f"layer-{number}", parent, [File(f"file-{number}")])
        parent = f"layer-{number}"

    with (
        workbench.mounted(workbench.snapshots.view("view", parent)) as merged,
        pytest.raises(OSError, match="Read-only") as refusal,
    ):
        File("testfile", b"testcontent").apply(merged)

    assert refusal.value.errno == errno.EROFS


def test_only_views_are_handed_out_read_only(snapshots: Snapshotter) -> None:
    """containerd takes an active snapshot that is read-only for an unpacked one.

    See isStaged in its core/unpack/unpacker.go.
    """
    populate(snapshots)

    read_only = {
        name: snapshots.mounts(name)[-1].is_read_only
        for name, (kind, _) in POPULATION.items()
        if kind is not Kind.COMMITTED
    }

    assert read_only == {"a1": False, "a2": False, "v1": True, "v2": True}


@pytest.mark.parametrize("parent", ["", "c1", "c2"])
@pytest.mark.parametrize("verb", ["prepare", "view"])
def test_mounts_repeats_what_was_handed_out(
    snapshots: Snapshotter, verb: str, parent: str
) -> None:
    commit_empty(snapshots, "c1")
    commit_empty(snapshots, "c2", "c1")

    handed_out = getattr(snapshots, verb)("key", parent)

    assert handed_out
    assert snapshots.mounts("key") == handed_out
    assert snapshots.mounts("key") == handed_out


def test_an_active_snapshot_keeps_its_content_between_mounts(
    workbench: Workbench,
) -> None:
    workbench.commit_layer("base", "", [File("lower", b"lower")])
    workbench.snapshots.prepare("key", "base")

    with workbench.mounted(workbench.snapshots.mounts("key")) as merged:
        File("upper", b"upper").apply(merged)
    with workbench.mounted(workbench.snapshots.mounts("key")) as merged:
        content = {path.name: path.read_bytes() for path in merged.iterdir()}

    assert content == {"lower": b"lower", "upper": b"upper"}


def test_siblings_do_not_see_each_other(workbench: Workbench) -> None:
    snapshots = workbench.snapshots
    workbench.commit_layer("base", "", [File("shared", b"base")])

    with (
        workbench.mounted(snapshots.prepare("left", "base")) as left,
        workbench.mounted(snapshots.prepare("right", "base")) as right,
        workbench.mounted(snapshots.view("view", "base")) as view,
    ):
        File("shared", b"left").apply(left)
        File("new", b"right").apply(right)
        seen = [
            {path.name: path.read_bytes() for path in root.iterdir()}
            for root in (left, right, view)
        ]

    assert seen == [
        {"shared": b"left"},
        {"shared": b"base", "new": b"right"},
        {"shared": b"base"},
    ]


def test_a_snapshot_starts_with_the_root_owner_of_its_parent(
    workbench: Workbench,
) -> None:
    """As createSnapshot in containerd's plugins/snapshots/overlay/overlay.go."""
    workbench.commit_layer("base", "", [Directory("etc"), Owner(".", 5, 6)])

    with workbench.mounted(workbench.snapshots.prepare("key", "base")) as merged:
        status = merged.stat()

    assert (status.st_uid, status.st_gid) == (5, 6)


def test_usage_counts_a_snapshot_without_its_parents(workbench: Workbench) -> None:
    snapshots, size = workbench.snapshots, 1 << 20
    workbench.commit_layer("base", "", [File("big", b"x" * size), File("small")])
    snapshots.prepare("key", "base")
    empty = snapshots.usage("key")

    with workbench.mounted(snapshots.mounts("key")) as merged:
        File("late", b"y" * size).apply(merged)
        Mode("small", 0o600).apply(merged)
    grown = snapshots.usage("key")
    snapshots.commit("top", "key")

    assert size <= snapshots.usage("base").size_bytes < 2 * size
    assert empty.size_bytes < size
    assert size <= grown.size_bytes - empty.size_bytes < 2 * size
    assert grown.inodes - empty.inodes == 2
    assert snapshots.usage("top") == grown


def test_usage_of_a_view_is_nothing(workbench: Workbench) -> None:
    workbench.commit_layer("base", "", [File("big", b"x" * 65536)])
    workbench.snapshots.view("view", "base")

    usage = workbench.snapshots.usage("view")

    assert (usage.size_bytes, usage.inodes) == (0, 0)
