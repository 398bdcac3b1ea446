"""What ``deploy/`` gives to operators, run as far as one machine can."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.containerd import Containerd, Generation, require_generation
from support.images import HELLO, IMAGE
from support.sandbox import REPOSITORY, Sandbox, wait_until
from support.snapfs_program import ENVIRONMENT, PROXY_NAME, SnapfsProgram

DEPLOY = REPOSITORY / "deploy"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The tree of a node that has snapfs on its path."""
    program = tmp_path / "bin/snapfs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m snapfs "$@"\n')
    program.chmod(0o755)
    (tmp_path / "node").mkdir()
    return tmp_path / "node"


def set_up(node: Path, *words: str, version: str = "2.4.2") -> int:
    done = subprocess.run(
        [DEPLOY / "kubernetes/node-setup", "--prefix", node, *words],
        env={
            **os.environ,
            **ENVIRONMENT,
            "PATH": f"{node.parent / 'bin'}:{os.environ['PATH']}",
            "CONTAINERD_VERSION": version,
        },
        check=False,
    )
    return done.returncode


def files(node: Path) -> set[str]:
    return {str(p.relative_to(node)) for p in node.rglob("*") if p.is_file()}


@pytest.mark.parametrize("version", ["1.6.33", "1.7.24", "2.4.2"])
def test_a_node_is_set_up_as_often_as_one_likes_and_back(
    node: Path, version: str
) -> None:
    first = set_up(node, version=version)
    again = set_up(node, version=version)
    made = files(node)
    drop_in = (node / "etc/containerd/conf.d/snapfs.toml").read_text()
    back = set_up(node, "--uninstall")

    assert (first, again, back) == (0, 0, 0)
    assert made == {
        "etc/containerd/config.toml",
        "etc/containerd/conf.d/snapfs.toml",
        "etc/systemd/system/snapfs.service",
    }
    cri = tomllib.loads(drop_in)["plugins"]
    assert PROXY_NAME in str([value for key, value in cri.items() if "cri" in key])
    assert files(node) == {"etc/containerd/config.toml"}


def test_a_runtime_class_leaves_all_other_pods_alone(node: Path) -> None:
    assert set_up(node, "--runtime-class") == 0

    folder = node / "etc/containerd/conf.d"
    drop_in = tomllib.loads((folder / "snapfs.toml").read_text())
    runtime = tomllib.loads((folder / "snapfs-runtime-class.toml").read_text())
    assert not any("cri" in key for key in drop_in["plugins"])
    assert "snapfs" in str(runtime)
    assert not (node / "etc/systemd/system/snapfs.service").exists()


def test_a_configuration_of_containerd_is_never_changed(node: Path) -> None:
    main = node / "etc/containerd/config.toml"
    main.parent.mkdir(parents=True)
    main.write_text("version = 2\n")

    without = set_up(node)
    main.write_text('version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n')
    kept = main.read_text()
    done = set_up(node)

    assert (without, done) == (5, 0)
    assert main.read_text() == kept


@pytest.mark.parametrize("words", [("--prefix",), ("--what",)])
def test_a_mistake_is_exit_code_2_and_writes_nothing(
    node: Path, words: tuple[str, ...]
) -> None:
    assert set_up(node, *words) == 2
    assert files(node) == set()


def test_without_snapfs_on_the_path_it_says_so(node: Path) -> None:
    (node.parent / "bin/snapfs").unlink()
    if shutil.which("snapfs"):
        pytest.skip("snapfs is installed here")

    assert set_up(node) == 6
    assert files(node) == set()


def daemon() -> dict[str, Any]:
    """The one container of the DaemonSet."""
    listed = json.loads((DEPLOY / "kubernetes/snapfs.json").read_text())["items"]
    [found] = [item for item in listed if item["kind"] == "DaemonSet"]
    [container] = found["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


class DaemonProgram(SnapfsProgram):
    """The service, with the DaemonSet's command and no more than its capabilities."""

    @property
    def command(self) -> tuple[str | Path, ...]:
        container = daemon()
        kept = container["securityContext"]["capabilities"]["add"]
        bounding = ",".join(["-all", *(f"+{name.lower()}" for name in kept)])
        program, *words = self._moved(container["command"])
        assert program == "snapfs"
        start = ("setpriv", f"--bounding-set={bounding}", "--no-new-privs", "--")
        words = [word for word in words if word != "serve"]
        return (*start, sys.executable, "-m", "snapfs", *words)

    def serve(self, *words: str | Path) -> None:
        super().serve(*self._moved(daemon()["args"]), *words)

    def _moved(self, words: list[str]) -> list[str]:
        """Return a command's words with the node's places in the sandbox."""
        home = self.sandbox.home
        places = {
            "/var/lib/snapfs": self.root,
            "/run/snapfs/snapfs.sock": self.address,
            "/run/containerd/containerd.sock": home / "containerd.sock",
            "/var/lib/containerd": home / "containerd",
            "127.0.0.1:9477": "127.0.0.1:0",
        }
        return [str(places.get(word, word)) for word in words]


@pytest.fixture
def generation() -> Generation:
    """Which containerd it is does not matter here."""
    return require_generation("built")


@pytest.fixture
def snapfs(sandbox: Sandbox) -> Iterator[SnapfsProgram]:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv(1) is not installed")
    program = DaemonProgram(sandbox)
    program.serve()
    yield program
    assert program.records("check") == []


@pytest.mark.root
@pytest.mark.containerd
@pytest.mark.slow
def test_the_daemonsets_command_and_capabilities_are_enough(
    containerd: Containerd, snapfs: SnapfsProgram, archive: Path
) -> None:
    containerd.import_image(archive)

    assert containerd.run(IMAGE, "one", options=("--rm",)) == HELLO

    containerd.remove_everything()
    wait_until(snapfs.is_empty, "an empty store")


def test_the_daemonset_mounts_what_its_command_names() -> None:
    container = daemon()
    words = [*container["command"], *container["args"]]
    paths = [Path(word) for word in words if word.startswith("/")]
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]

    assert paths
    for path in paths:
        assert any(path.is_relative_to(mount) for mount in mounts), path
