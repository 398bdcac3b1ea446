"""Containers that containerd runs on snapfs: their changes as layers and images."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from support.command import Command
from support.containerd import ONE_GENERATION, Containerd
from support.images import IMAGE
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

SCRIPT = (
    "echo changed > /srv/app/message; rm /srv/app/data; mkdir /new; echo 1 > /new/a"
)


@pytest.fixture
def changed(containerd: Containerd, snapfs: SnapfsProgram, archive: Path) -> str:
    """Run a container that changes its files; return the key of its snapshot."""
    containerd.import_image(archive)
    containerd.run(IMAGE, "c", "/bin/sh", "-c", SCRIPT)
    (key,) = (row["name"] for row in snapfs.records("ls") if row["kind"] == "active")
    assert isinstance(key, str)
    return key


@ONE_GENERATION
def test_what_a_container_changed_is_a_layer_and_an_image_that_runs(
    changed: str, containerd: Containerd, snapfs: SnapfsProgram, tmp_path: Path
) -> None:
    layer = snapfs.sandbox.home / "layer.tar.gz"

    snapfs.run("diff", changed, "-o", layer)

    with tarfile.open(layer) as archive:
        names = archive.getnames()
    assert {"srv/app/.wh.data", "srv/app/message", "new", "new/a"} <= set(names)
    assert not any(name.startswith(("bin", "srv/cache")) for name in names)

    output = snapfs.sandbox.home / "image.tar"

    document = snapfs.document(
        "export", changed, "-o", str(output), "--name", "snapfs.test/again:1"
    )

    containerd.import_image(output)
    shown = containerd.run("snapfs.test/again:1", "d", "/bin/cat", "/srv/app/message")
    assert shown == "changed\n"
    listed = containerd.run("snapfs.test/again:1", "e", "/bin/ls", "/srv/app", "/new")
    assert "data" not in listed
    other = Command(tmp_path / "other")
    top = other.ok("unpack", output).strip()
    assert top == document["layers"][-1]["chain_id"]
    assert top in {row["name"].rpartition("/")[2] for row in snapfs.records("ls")}
