"""Images that ``snapfs export`` made, loaded by other programs: the same trees."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.kernel_overlay import OverlayDriver
from snapfs.model import Kind, Stack
from snapfs.overlay_format import XattrPrefix
from support.command import Command
from support.containerd import ONE_GENERATION, Containerd, Generation
from support.exported_images import RICH_LAYERS, shown
from support.images import HELLO, IMAGE
from support.observer import Observer
from support.sandbox import Sandbox
from support.tree_metadata import Tree, compare, read_metadata
from support.unpack_images import layout_of

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Command:
    """Return a store with the demo's image, for tests that only read."""
    command = Command(tmp_path_factory.mktemp("stocked") / "root")
    command.ok("unpack", archive, "--name", "demo")
    return command


@pytest.fixture
def observer() -> Iterator[Observer]:
    with Observer() as running:
        yield running


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Return a store with an image that has everything a layer can hold."""
    place = tmp_path_factory.mktemp("rich")
    command = Command(place / "root")
    image = layout_of(place / "image", *RICH_LAYERS)
    command.ok("unpack", f"oci:{image}", "--name", "demo")
    return command


def without_root(*trees: Tree) -> None:
    """Leave the root out: some make that of a layer as they see fit."""
    for tree in trees:
        tree.pop(b".")


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}; 'make test-peers' installs it")


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Go's archive/tar, which all of them use, takes names of xattrs as they are in the
# record, where "=" has to be escaped. umoci also takes an empty value for none.
WANTED = "expected {'user.a=b': b'1', 'user.none': b''}"
UMOCI_LOSES = f"'etc/odd': xattrs is {{'user.a%3Db': b'1'}}, {WANTED}"
CONTAINERD_LOSES = (
    f"'etc/odd': xattrs is {{'user.a%3Db': b'1', 'user.none': b''}}, {WANTED}"
)


@pytest.mark.parametrize("options", [[], ["--ns"]])
def test_umoci_unpacks_everything(
    rich: Command, tmp_path: Path, options: list[str]
) -> None:
    needs("umoci")
    rich.ok("export", "demo", "-o", tmp_path / "l", "--format", "oci", *options)

    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{tmp_path}/l:latest", bundle)

    have = read_metadata(os.fsencode(bundle / "rootfs"))
    want = shown(rich, "demo", tmp_path / "want")
    assert compare(have, want) == [UMOCI_LOSES]


def test_umoci_unpacks_the_same_tree(stocked: Command, tmp_path: Path) -> None:
    needs("umoci")
    stocked.ok("export", "demo", "-o", tmp_path / "l", "--format", "oci")

    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{tmp_path}/l:latest", bundle)

    have = read_metadata(os.fsencode(bundle / "rootfs"))
    assert compare(have, shown(stocked, "demo", tmp_path / "want")) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("oci-archive", "oci"),
        ("docker-archive", "oci"),
        ("oci", "docker-archive"),
    ],
)
def test_skopeo_copies_all_forms(
    stocked: Command, tmp_path: Path, source: str, target: str
) -> None:
    needs("skopeo")
    document = json.loads(
        stocked.ok("export", "demo", "-o", tmp_path / "x", "--format", source, "--json")
    )

    words = ("skopeo", "copy", "--insecure-policy")
    run(*words, f"{source}:{tmp_path}/x", f"{target}:{tmp_path}/y:a:b")

    again = Command(tmp_path / "again").ok("unpack", f"{target}:{tmp_path}/y").strip()
    assert again == document["layers"][-1]["chain_id"]


def test_podman_loads_and_mounts_the_same_tree(
    stocked: Command, tmp_path: Path
) -> None:
    needs("podman")
    words = ("--format", "docker-archive", "--name", "snapfs.test/x:1", "--json")
    document = json.loads(stocked.ok("export", "demo", "-o", tmp_path / "x", *words))
    with tempfile.TemporaryDirectory(prefix="p") as short:  # podman asks for it
        podman = ("podman", "--root", f"{short}/root", "--runroot", f"{short}/run")
        run(*podman, "load", "-i", tmp_path / "x")
        run(*podman, "save", "-o", tmp_path / "saved", "snapfs.test/x:1")
        place = run(*podman, "image", "mount", "snapfs.test/x:1").strip()
        try:
            have = read_metadata(os.fsencode(place))
        finally:
            run(*podman, "image", "unmount", "--all")
            run(*podman, "system", "reset", "--force")

    # containers/storage makes the root of a layer by itself.
    want = shown(stocked, "demo", tmp_path / "want")
    without_root(have, want)
    assert compare(have, want, ("links",)) == []
    again = Command(tmp_path / "again").ok("unpack", tmp_path / "saved").strip()
    assert again == document["layers"][-1]["chain_id"]


def seen(running: Containerd, name: str, observer: Observer) -> Tree:
    """Return what a mount of a committed snapshot of containerd shows."""
    running.snapshots("prepare", "seen", name)
    words = running.snapshots("mounts", "/target", "seen")
    found = re.search(r"lowerdir=([^,\s]+)", words)
    assert found is not None, words
    driver = OverlayDriver(xattr_prefix=XattrPrefix.TRUSTED)
    stack = Stack(Kind.VIEW, tuple(found[1].split(":")))
    return observer.tree(driver.local_mounts(stack))


@pytest.mark.containerd
@ONE_GENERATION
@pytest.mark.parametrize("options", [["--ns"], ["--compression", "zstd", "--ns"]])
def test_containerd_unpacks_everything(
    rich: Command,
    sandbox: Sandbox,
    generation: Generation,
    observer: Observer,
    tmp_path: Path,
    options: list[str],
) -> None:
    words = ("--name", IMAGE, "--json", *options)
    document = json.loads(rich.ok("export", "demo", "-o", tmp_path / "x", *words))
    running = Containerd(sandbox, generation, "overlayfs")

    running.import_image(tmp_path / "x")

    have = seen(running, document["layers"][-1]["chain_id"], observer)
    want = shown(rich, "demo", tmp_path / "want")
    without_root(have, want)
    assert compare(have, want) == [CONTAINERD_LOSES]


@pytest.mark.containerd
@pytest.mark.parametrize("format_", ["oci-archive", "docker-archive"])
def test_containerd_imports_and_runs_it(
    stocked: Command,
    sandbox: Sandbox,
    generation: Generation,
    observer: Observer,
    tmp_path: Path,
    format_: str,
) -> None:
    words = ("--format", format_, "--name", IMAGE, "--json")
    document = json.loads(stocked.ok("export", "demo", "-o", tmp_path / "x", *words))
    running = Containerd(sandbox, generation, "overlayfs")

    running.import_image(tmp_path / "x")

    names = [layer["chain_id"] for layer in document["layers"]]
    assert {row.key for row in running.list_snapshots()} == set(names)
    have = seen(running, names[-1], observer)
    # containerd leaves the root of a layer as it makes it itself.
    want = shown(stocked, "demo", tmp_path / "want")
    without_root(have, want)
    assert compare(have, want) == []
    assert running.run(IMAGE, "c", "/srv/app/hello") == HELLO
    # The transfer service may end before ctr has written the last bytes that it sent
    # (MarshalAny, core/transfer/archive/exporter.go): nobody waits for the copy.
    local = ("--local",) if generation.is_2 else ()
    running.ctr("images", "export", *local, tmp_path / "saved", IMAGE)
    again = Command(tmp_path / "again").ok("unpack", tmp_path / "saved").strip()
    assert again == names[-1]
