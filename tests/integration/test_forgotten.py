"""``snapfs cleanup --containerd``: what containerd forgot goes, all else stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.remote.snapshotter import RemoteSnapshotter
from support.containerd import Containerd, Generation, require_generation
from support.images import HELLO, IMAGE
from support.snapfs_program import ENVIRONMENT, SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def generation() -> Generation:
    """What is asked of containerd is the same in all versions."""
    return require_generation("built")


@pytest.fixture
def snapshots(snapfs: SnapfsProgram) -> Iterator[RemoteSnapshotter]:
    """The service as containerd sees it."""
    with RemoteSnapshotter(str(snapfs.address)) as remote:
        yield remote


def cleanup(containerd: Containerd, *words: str) -> tuple[str, ...]:
    socket = str(containerd.sandbox.home / "containerd.sock")
    return ("cleanup", "--containerd", socket, "--older-than", "0", *words)


def forget(snapshots: RemoteSnapshotter) -> None:
    """Leave behind what a restored or renewed containerd would not know."""
    snapshots.prepare("default/901/extract")
    snapshots.commit("default/902/sha256:old", "default/901/extract")
    snapshots.prepare("gone/903/container", "default/902/sha256:old")


def forgotten(snapfs: SnapfsProgram) -> set[str]:
    names = {record["name"] for record in snapfs.records("ls")}
    return {name for name in names if "/90" in name}


def test_what_containerd_forgot_is_explained_and_removed(
    containerd: Containerd,
    snapfs: SnapfsProgram,
    snapshots: RemoteSnapshotter,
    archive: Path,
) -> None:
    containerd.import_image(archive)
    containerd.run(IMAGE, "kept", options=("--detach",))
    needed = {record["name"] for record in snapfs.records("ls")}
    snapfs.run("prepare", "mine")
    forget(snapshots)

    dry = snapfs.records(*cleanup(containerd, "--dry-run"))
    still = {record["name"] for record in snapfs.records("ls")}
    wet = snapfs.records(*cleanup(containerd))
    left = {record["name"] for record in snapfs.records("ls")}

    explained = [record["reason"] for record in dry]
    assert [reason.split("'")[1] for reason in explained] == [
        "gone/903/container",
        "default/902/sha256:old",
    ]
    assert all(record["usage"]["inodes"] for record in dry)
    assert [(r["path"], r["reason"]) for r in wet] == [
        (r["path"], r["reason"]) for r in dry
    ]
    assert len(still) == len(needed) + 3
    assert left == needed | {"mine"}
    assert not any(Path(record["path"]).exists() for record in wet)
    assert containerd.run(IMAGE, "hello", options=("--rm",)) == HELLO


def test_one_that_is_mounted_stays_and_is_named(
    containerd: Containerd,
    snapfs: SnapfsProgram,
    snapshots: RemoteSnapshotter,
    archive: Path,
) -> None:
    containerd.import_image(archive)
    forget(snapshots)
    target = snapfs.sandbox.home / "target"
    target.mkdir()
    mounts = snapfs.document("mounts", "gone/903/container")
    [mount] = mounts["mounts"] if isinstance(mounts, dict) else mounts
    options = ",".join(mount["options"])
    snapfs.sandbox.run("mount", "-t", mount["type"], "x", "-o", options, target)

    done = snapfs.sandbox.try_run(
        *snapfs.command, *cleanup(containerd), env=ENVIRONMENT
    )
    snapfs.sandbox.run("umount", target)

    assert done.returncode == 0
    assert str(target) in done.stderr
    assert forgotten(snapfs) == {"default/902/sha256:old", "gone/903/container"}
    snapfs.run(*cleanup(containerd))
    assert forgotten(snapfs) == set()


def test_a_containerd_that_knows_nothing_here_is_refused(
    containerd: Containerd, snapfs: SnapfsProgram, snapshots: RemoteSnapshotter
) -> None:
    forget(snapshots)

    refused = snapfs.status_of(*cleanup(containerd))
    misnamed = snapfs.status_of(*cleanup(containerd, "--snapshotter", "nothing"))
    before = len(snapfs.records("ls"))
    forced = json.loads(
        snapfs.run("--json", *cleanup(containerd, "--force")).splitlines()[0]
    )

    assert refused == 5
    assert misnamed == 3
    assert before == 2
    assert "gone/903" in forced["reason"]
    assert snapfs.records("ls") == []
