"""The service dies by ``kill -9`` while containers run, and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.containerd import ONE_GENERATION, Containerd
from support.images import HELLO, IMAGE
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

CONTAINERS = ("first", "second", "third")


@pytest.fixture
def running(containerd: Containerd, archive: Path) -> Containerd:
    """containerd with three running containers, each of which has changed a file."""
    containerd.import_image(archive)
    for name in CONTAINERS:
        containerd.run(IMAGE, name, "sleep", "1000", options=("--detach",))
        containerd.execute(name, "sh", "-c", f"echo {name} >/srv/app/message")
    return containerd


def answers_again(containerd: Containerd) -> bool:
    """Whether containerd has connected to the service; it backs off for seconds."""
    listing = ("snapshots", "--snapshotter", containerd.snapshotter, "ls")
    return containerd.try_ctr(*listing).returncode == 0


@ONE_GENERATION
def test_containers_go_on_running_without_the_service(
    running: Containerd, snapfs: SnapfsProgram
) -> None:
    snapfs.kill()

    for name in CONTAINERS:
        running.execute(name, "sh", "-c", "echo more >>/srv/app/message")
        said = running.execute(name, "/srv/app/hello")
        assert said == f"{name}\nmore\n"
    refused = running.try_ctr(
        "snapshots", "--snapshotter", running.snapshotter, "prepare", "x"
    )
    assert refused.returncode != 0
    snapfs.serve()


def test_every_call_works_after_a_restart(
    running: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox
) -> None:
    before = running.list_snapshots()
    mounts_before = running.snapshots("mounts", "/target", "first")

    snapfs.kill()
    snapfs.serve()
    wait_until(lambda: answers_again(running), "containerd to reconnect")

    assert running.list_snapshots() == before
    assert running.snapshots("mounts", "/target", "first") == mounts_before
    assert '"Kind": "Active"' in running.snapshots("info", "first")
    assert "first" in running.snapshots("usage", "first")
    running.snapshots("prepare", "fresh")
    running.snapshots("label", "fresh", "containerd.io/snapshot/test=yes")
    running.snapshots("commit", "fresh-base", "fresh")
    running.snapshots("view", "fresh-look", "fresh-base")
    running.snapshots("rm", "fresh-look")
    assert running.execute("first", "/srv/app/hello") == "first\n"
    assert running.run(IMAGE, "late", options=("--rm",)) == HELLO
    running.remove_everything()
    wait_until(snapfs.is_empty, "the removed directories to be reclaimed")
    assert sandbox.mount_points() == []


@ONE_GENERATION
def test_what_was_committed_before_the_kill_can_be_used_after_it(
    running: Containerd, snapfs: SnapfsProgram, sandbox: Sandbox
) -> None:
    running.run(IMAGE, "editor", "sh", "-c", "echo kept >/srv/app/message")
    running.snapshots("commit", "edited", "editor")

    snapfs.kill()
    snapfs.serve()
    wait_until(lambda: answers_again(running), "containerd to reconnect")

    target = sandbox.home / "look"
    target.mkdir()
    running.snapshots("view", "look", "edited")
    sandbox.run("sh", "-c", running.snapshots("mounts", str(target), "look"))
    said = sandbox.run("cat", target / "srv/app/message")
    sandbox.run("umount", target)
    assert said == "kept\n"


def test_containers_outlive_a_restart_of_containerd_and_the_service(
    running: Containerd, snapfs: SnapfsProgram
) -> None:
    running.stop()
    snapfs.stop()

    snapfs.serve()
    running.restart()

    for name in CONTAINERS:
        assert running.execute(name, "/srv/app/hello") == f"{name}\n"
    running.remove_everything()
    wait_until(snapfs.is_empty, "the removed directories to be reclaimed")
