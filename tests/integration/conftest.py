"""Fixtures: the command, and both generations of containerd on snapfs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.assembly.mounting import unmount
from support.command import Command
from support.containerd import Containerd, Generation, require_generation
from support.images import image_layers, write_archive
from support.sandbox import REPOSITORY, Sandbox
from support.snapfs_program import PROXY_NAME, SnapfsProgram


@pytest.fixture(params=["packaged", "built"])
def generation(request: pytest.FixtureRequest) -> Generation:
    """The distribution's containerd (1.6 in Debian 12), and the newest 2.x."""
    return require_generation(request.param)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "root")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Where to mount; whatever is left mounted in the test's place goes."""
    place = tmp_path / "target"
    place.mkdir()
    yield place
    for entry in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(entry.target, lazy=True)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as made:
        os.chmod(made, 0o777)
        yield Path(made)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    if os.geteuid() != 0:
        pytest.skip("a sandbox needs root")
    with Sandbox() as made:
        yield made


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's image: three layers that add, change, delete and hide."""
    output = tmp_path_factory.mktemp("images") / "image.tar"
    return write_archive(output, image_layers())


@pytest.fixture
def snapfs(generation: Generation, sandbox: Sandbox) -> Iterator[SnapfsProgram]:
    """A running service; after the test, its store must be consistent."""
    program = SnapfsProgram(sandbox)
    program.serve()
    yield program
    assert program.records("check", "--deep") == []


@pytest.fixture
def containerd(
    sandbox: Sandbox, generation: Generation, snapfs: SnapfsProgram
) -> Containerd:
    """A running containerd with snapfs as its proxy snapshotter."""
    toml = snapfs.containerd_toml(generation.version)
    return Containerd(sandbox, generation, PROXY_NAME, toml)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed helper, where containerd's mount.fuse3 finds it."""
    if shutil.which("mount.fuse3") is None:
        pytest.skip("no mount.fuse3 here: apt-get install fuse3")
    subprocess.run(
        [sys.executable, "-m", "snapfs", "install-helper", "--directory", tmp_path],
        cwd=REPOSITORY,
        check=True,
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "snapfs-fuse"


@pytest.fixture
def fuse_snapfs(
    generation: Generation, launcher: Path, sandbox: Sandbox
) -> Iterator[SnapfsProgram]:
    """A running service of the FUSE driver; its store must be consistent, too."""
    program = SnapfsProgram(sandbox, driver="fuse")
    program.serve()
    yield program
    assert program.records("check") == []
