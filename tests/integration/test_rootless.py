"""containerd and snapfs in a user namespace of an ordinary user: the whole service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.containerd import Containerd, Generation, require_generation
from support.images import HELLO, IMAGE
from support.rootless import USER, RootlessProgram, RootlessSandbox
from support.sandbox import Sandbox, wait_until
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


@pytest.fixture
def generation() -> Generation:
    return require_generation("built")


@pytest.fixture
def sandbox(generation: Generation) -> Iterator[Sandbox]:
    with RootlessSandbox() as made:
        yield made


@pytest.fixture
def snapfs(sandbox: Sandbox) -> Iterator[SnapfsProgram]:
    program = RootlessProgram(sandbox, "kernel")
    program.serve()
    yield program
    assert program.records("check", "--deep") == []


def test_containers_of_an_ordinary_user_run_on_snapfs(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    image = containerd.sandbox.home / "image.tar"
    image.write_bytes(archive.read_bytes())
    containerd.import_image(image)

    hello = containerd.run(IMAGE, "one", options=("--rm",))
    script = "id -u; rm /etc/motd; mkdir /srv/app; echo new >/srv/new; ls /srv"
    changed = containerd.run(IMAGE, "two", "sh", "-c", script)
    containerd.snapshots("commit", "kept", "two")
    containerd.ctr("containers", "rm", "--keep-snapshot", "two")
    changes = snapfs.run("diff", next(n for n in names(snapfs) if n.endswith("/kept")))

    assert hello == HELLO
    assert changed.splitlines()[0] == "0"
    assert "/srv/new" in changes
    assert snapfs.process().uids().real == USER
    assert {p.stat().st_uid for p in (snapfs.root / "snapshots").iterdir()} == {USER}
    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


def names(snapfs: SnapfsProgram) -> list[str]:
    return [row["name"] for row in snapfs.records("ls")]
