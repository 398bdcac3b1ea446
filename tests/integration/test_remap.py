"""Containers in user namespaces: owners mapped by the mount, or changed in a copy.

With ``overlay.remap_ids`` and the capability that ``snapfs config containerd`` then
prints, containerd passes the mapping on; without, it copies the image's layers and
changes their owners. A container sees the same either way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.containerd import Containerd, Generation, require_generation
from support.images import IMAGE, chain_ids, image_layers
from support.sandbox import REPOSITORY, Sandbox, wait_until
from support.snapfs_program import PROXY_NAME, SnapfsProgram

pytestmark = [
    *(pytest.mark.root, pytest.mark.fuse),
    *(pytest.mark.containerd, pytest.mark.slow),
]

HOST: Final = 100_000
TAR: Final = "application/vnd.oci.image.layer.v1.tar"
MAPS: Final = (
    *("--uidmap", f"0:{HOST}:65536", "--gidmap", f"0:{HOST}:65536"),
    "--remap-labels",
)
LOOK: Final = (
    "cat /proc/self/uid_map; stat -c %u:%g / /bin /srv/app/message;"
    " echo changed >/srv/app/message; echo new >/srv/new;"
    " stat -c %u:%g /srv/app/message /srv/new"
)


@pytest.fixture
def generation() -> Generation:
    """Version 1.6 knows no capabilities."""
    return require_generation("built")


@pytest.fixture(params=["kernel", pytest.param("fuse", marks=pytest.mark.full)])
def driver(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    if request.param == "fuse":
        if shutil.which("mount.fuse3") is None:
            pytest.skip("no mount.fuse3 here: apt-get install fuse3")
        subprocess.run(
            [sys.executable, "-m", "snapfs", "install-helper", "--directory", tmp_path],
            cwd=REPOSITORY,
            check=True,
        )
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return str(request.param)


@pytest.fixture(params=["mapped", pytest.param("copied", marks=pytest.mark.full)])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def config(sandbox: Sandbox, way: str) -> Path:
    sandbox.home.chmod(0o711)  # the container's root passes through as another user
    path = sandbox.home / "config.toml"
    path.write_text(f"[overlay]\nremap_ids = {str(way == 'mapped').lower()}\n")
    return path


@pytest.fixture
def snapfs(driver: str, sandbox: Sandbox, config: Path) -> Iterator[SnapfsProgram]:
    program = SnapfsProgram(sandbox, driver=driver)
    program.serve("--config", config)
    yield program
    assert program.records("check") == []


@pytest.fixture
def containerd(
    sandbox: Sandbox, generation: Generation, snapfs: SnapfsProgram, config: Path
) -> Containerd:
    toml = snapfs.containerd_toml(generation.version, "--config", config)
    toml = toml.replace('["snapfs-differ", "walking"]', '["snapfs-differ"]')
    return Containerd(sandbox, generation, PROXY_NAME, toml)


def test_a_container_in_a_user_namespace_sees_its_own_root(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path, way: str
) -> None:
    containerd.import_image(archive)

    said = containerd.run(IMAGE, "one", "sh", "-c", LOOK, options=MAPS)

    lines = said.split("\n")
    assert lines[0].split() == ["0", str(HOST), "65536"]
    assert lines[1:6] == ["0:0"] * 5
    rows = {row["name"].split("/", 2)[2]: row for row in snapfs.records("ls")}
    assert rows["one"]["kind"] == "active"
    made = {name for name, row in rows.items() if row["kind"] == "committed"}
    copies = made - set(chain_ids(image_layers()))
    assert len(copies) == (0 if way == "mapped" else 1)

    # What the container wrote belongs to the host's users that it maps to, or is
    # stored as it sees it, by a server that maps.
    upper = Path(snapfs.document("info", rows["one"]["name"])["directory"], "fs")
    stored = {os.stat(upper / name).st_uid for name in ("srv/app/message", "srv/new")}
    maps_itself = snapfs.driver == "fuse" and way == "mapped"
    assert stored == {0 if maps_itself else HOST}
    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


@pytest.mark.parametrize("kind", ["active", "committed"])
@pytest.mark.parametrize("by", ["containerd", "snapfs"])
def test_a_layer_has_the_owners_that_the_container_sees(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path, by: str, kind: str
) -> None:
    containerd.import_image(archive)
    containerd.run(IMAGE, "one", "sh", "-c", LOOK, options=MAPS)
    key = "one"
    if kind == "committed":  # which replaces the labels that say how owners are mapped
        containerd.snapshots("commit", key := "layer", "one")
    [name] = [r["name"] for r in snapfs.records("ls") if r["name"].endswith(f"/{key}")]
    layer = containerd.sandbox.home / "layer.tar"

    if by == "snapfs":
        snapfs.run("diff", name, "-o", layer, "--compression", "none")
    else:
        before = blobs(containerd)
        containerd.snapshots("diff", "--keep", "--media-type", TAR, key)
        [made] = blobs(containerd) - before
        layer.write_bytes((containerd_blobs(containerd) / made).read_bytes())
    with tarfile.open(layer) as tar:
        found = {member.name: (member.uid, member.gid) for member in tar}

    assert {"srv/app/message", "srv/new"} <= found.keys()
    assert [name for name, owner in found.items() if owner != (0, 0)] == []
    changes = snapfs.records("diff", name)
    assert {change["after"]["uid"] for change in changes} == {0}
    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


def blobs(containerd: Containerd) -> set[str]:
    words = containerd.ctr("content", "ls", "--quiet").split()
    return {word.removeprefix("sha256:") for word in words}


def containerd_blobs(containerd: Containerd) -> Path:
    content = "containerd/io.containerd.content.v1.content/blobs/sha256"
    return containerd.sandbox.home / content
