"""What is left after everything has been removed and the garbage collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.containerd import ONE_GENERATION, Containerd
from support.images import IMAGE
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


def test_nothing_is_left_once_everything_is_removed(
    containerd: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox, archive: Path
) -> None:
    for namespace in ("one", "two"):
        containerd.import_image(archive, namespace=namespace)
        containerd.run(
            *(IMAGE, "sleeper", "sleep", "1000"),
            options=("--detach",),
            namespace=namespace,
        )
        containerd.run(IMAGE, "done", namespace=namespace)
        containerd.snapshots("commit", "kept", "done", namespace=namespace)
        containerd.snapshots("view", "look", "kept", namespace=namespace)

    containerd.remove_everything("one", "two")

    wait_until(snapfs.is_empty, "the removed directories to be reclaimed")
    assert sandbox.mount_points() == []
    assert snapfs.records("check") == []


@ONE_GENERATION
def test_an_unused_image_is_collected_while_a_container_keeps_another(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)
    containerd.run(IMAGE, "sleeper", "sleep", "1000", options=("--detach",))
    containerd.snapshots("prepare", "unused")
    containerd.snapshots("rm", "unused")

    containerd.ctr("images", "rm", "--sync", IMAGE)

    kinds = sorted(row["kind"] for row in snapfs.records("ls"))
    assert kinds == ["active", "committed", "committed", "committed"]
    assert containerd.execute("sleeper", "true") == ""


@ONE_GENERATION
def test_a_local_snapshot_survives_a_full_collection(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    snapfs.run("prepare", "work")
    snapfs.run("commit", "base", "work")
    snapfs.run("prepare", "mine", "base")
    containerd.import_image(archive)
    containerd.run(IMAGE, "hello", options=("--rm",))

    containerd.remove_everything()

    rows = {(row["name"], row["owner"]) for row in snapfs.records("ls")}
    assert rows == {("base", "local"), ("mine", "local")}
    wait_until(lambda: len(snapfs.directories()) == 2, "two directories to be left")


@ONE_GENERATION
def test_containerd_does_not_see_local_snapshots(
    containerd: Containerd, snapfs: SnapfsProgram
) -> None:
    snapfs.run("prepare", "work")
    snapfs.run("commit", "base", "work")

    refused = containerd.try_ctr(
        "snapshots", "--snapshotter", containerd.snapshotter, "prepare", "x", "base"
    )

    assert containerd.list_snapshots() == []
    assert "not found" in refused.stderr
