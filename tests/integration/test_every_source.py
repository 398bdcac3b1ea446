"""``mount``, ``shell``, ``bundle``, ``run``, ``explore`` on every kind of SOURCE.

One image in all its forms; what GNU tar makes of its layers is what all must show.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs import mountinfo
from snapfs.assembly.mounting import unmount
from support.applied_layers import directory, entry, tar_of
from support.command import Command
from support.containerd import Containerd, require_generation
from support.docker_registry import docker_registry
from support.layouts import LayoutWriter, archive_of
from support.pushed_images import push_layout
from support.reference_unpack import unpack_by_tar
from support.sandbox import Sandbox
from support.shell_image import shell_layer
from support.source_forms import FORMS, NAME
from support.tree_metadata import Tree, compare, read_metadata

pytestmark = [pytest.mark.root, pytest.mark.fuse]

_TELL: Final = "read line </etc/motd; echo $line; echo /srv/*"
_TOLD: Final = "changed\n/srv/fresh\n"
# They are directories: what they hold is there, and no image says what to run.
_WITHOUT_CONFIG: Final = ("dir", "tar", "layers")


@dataclasses.dataclass(frozen=True)
class Case:
    """The image in all its forms.

    Attributes:
        place: Where they are.
        layout: As an OCI layout.
        flat: What its layers come to, by GNU tar.
        tree: The same, read.
    """

    place: Path
    layout: Path
    flat: Path
    tree: Tree


@dataclasses.dataclass(frozen=True)
class Source:
    """One form, and the command to try on it; ``piped`` is its standard input."""

    form: str
    word: str
    command: Command
    piped: Path | None = None

    @property
    def has_config(self) -> bool:
        return self.form not in _WITHOUT_CONFIG

    def __call__(self, *words: str | Path) -> str:
        """Run a command with the SOURCE where the word SOURCE stands."""
        given = [self.word if word == "SOURCE" else str(word) for word in words]
        with contextlib.ExitStack() as stack:
            stdin: int = subprocess.DEVNULL
            if self.piped is not None:
                fed = subprocess.Popen(["cat", self.piped], stdout=subprocess.PIPE)
                stack.enter_context(fed)
                assert fed.stdout is not None
                stdin = fed.stdout.fileno()
            done = subprocess.run(
                [*self.command.words, *given],
                env=self.command.environment,
                stdin=stdin,
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    place = tmp_path_factory.mktemp("sources")
    writer = LayoutWriter(place / "layout")
    writer.add_layer([shell_layer({"etc/motd": "base\n", "etc/gone": "x"})])
    writer.add_layer(
        [
            tar_of(
                [
                    directory("etc"),
                    entry("etc/.wh.gone"),
                    entry("etc/motd", b"changed\n", mode=0o640, owner=(1, 2)),
                    directory("srv"),
                    entry("srv/.wh..wh..opq"),
                    entry("srv/fresh", b"fresh", xattrs={"user.note": b"n"}),
                ]
            )
        ]
    )
    layout = writer.finish(Env=["PATH=/bin"], Cmd=["/bin/sh", "-c", _TELL])
    flat = place / "flat"
    unpack_by_tar(layout, flat)
    tar = ("tar", "-C", flat, "--xattrs", "--format=pax", "-cf", place / "flat.tar")
    subprocess.run([*tar, "."], check=True)
    return Case(place, layout, flat, read_metadata(os.fsencode(flat)))


@pytest.fixture(scope="module")
def registry(case: Case) -> Iterator[str]:
    with docker_registry(case.place / "registry") as host:
        push_layout(case.layout, host, "team/case:v1")
        yield f"docker://{host}/team/case:v1"


@pytest.fixture(scope="module")
def containerd(case: Case) -> Iterator[str]:
    """The socket of a containerd that has the image, and no snapshot."""
    with Sandbox() as sandbox:
        running = Containerd(sandbox, require_generation("packaged"), "native")
        running.ctr("images", "import", "--no-unpack", archive_of(case.layout))
        yield str(sandbox.home / "containerd.sock")


# The others are mounted in test_mount_sources, and opened by each image verb.
_USUAL: Final = ("docker-legacy", "pipe", "dir", "layers", "docker", "snapshot")


@pytest.fixture(
    params=[
        *_USUAL,
        pytest.param("containerd", marks=pytest.mark.containerd),
        *(
            pytest.param(form, marks=pytest.mark.full)
            for form in (*FORMS, "tar")
            if form not in _USUAL
        ),
    ]
)
def source(request: pytest.FixtureRequest, command: Command, case: Case) -> Source:
    form = request.param
    command.environment["XDG_CACHE_HOME"] = str(command.root.parent / "cache")
    if form == "pipe":
        kind, _, file = FORMS["docker-skopeo"](case.layout).partition(":")
        return Source(form, f"{kind}:-", command, Path(file))
    if form == "docker":
        return Source(form, request.getfixturevalue("registry"), command)
    if form == "containerd":
        socket = request.getfixturevalue("containerd")
        command.environment["CONTAINERD_ADDRESS"] = socket
        return Source(form, f"containerd:{NAME}", command)
    if form == "snapshot":
        command.ok("unpack", f"oci:{case.layout}", "--name", "case")
        return Source(form, "snapshot:case", command)
    words = {
        "dir": f"dir:{case.flat}",
        "tar": f"tar:{case.flat}.tar",
        "layers": f"layers:{case.flat}",
    }
    return Source(form, words.get(form) or FORMS[form](case.layout), command)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "target").mkdir()
    yield tmp_path / "target"
    for mount in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(mount.target, lazy=True)


def differences(found: Tree, case: Case) -> list[str]:
    # tar gives directories that no entry names the time of now.
    return compare(found, case.tree, ignored=("mtime_ns",))


def test_mount_shell_bundle_and_run_show_what_tar_makes_of_the_layers(
    source: Source, case: Case, target: Path
) -> None:
    words = () if source.has_config else ("/bin/sh", "-c", _TELL)
    box = target.parent / "box"

    source("--driver", "fuse", "mount", "SOURCE", target)
    by_fuse = read_metadata(os.fsencode(target))
    source("--driver", "kernel", "bundle", "SOURCE", box)
    by_kernel = read_metadata(os.fsencode(box / "rootfs"))
    config = json.loads((box / "config.json").read_text())
    shown = source("shell", "SOURCE", "cat", "etc/motd")
    ran = source("run", "SOURCE", *words)

    assert differences(by_fuse, case) == []
    assert differences(by_kernel, case) == []
    args = ["/bin/sh", "-c", _TELL] if source.has_config else ["/bin/sh"]
    assert config["process"]["args"] == args
    assert (shown, ran) == ("changed\n", _TOLD)


# All others are read as by the image verbs, which are tried on each form.
@pytest.mark.parametrize(
    "source",
    [
        *("pipe", "layers", "docker", "snapshot"),
        pytest.param("containerd", marks=pytest.mark.containerd),
    ],
    indirect=True,
)
def test_explore_shows_that_tree(source: Source) -> None:
    pytest.importorskip("textual", reason="the extra 'tui' is not installed")
    if source.form == "pipe":
        done = source.command("explore", source.word)
        assert (done.returncode, done.stderr.count("\n")) == (6, 1)
        return

    names = (b"etc/", b"srv/", b"keys")
    source.command.explore(
        source.word, lambda shown: all(name in shown for name in names)
    )
