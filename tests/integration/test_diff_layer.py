"""``snapfs diff -o``: layers between any two trees, which others apply, too."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.command import Command
from support.exported_images import exported
from support.layouts import LayoutWriter
from support.tree_metadata import compare, read_metadata

MTIME = 1_500_000_000


def make_trees(place: Path) -> tuple[Path, Path]:
    """Return two directories that differ in every way that a layer can express."""
    old, new = place / "old", place / "new"
    for root in (old, new):
        (root / "both").mkdir(parents=True)
        (root / "both/same").write_text("same")
        (root / "both/changed").write_text(root.name)
        (root / "both/mode").touch()
    (old / "gone/sub").mkdir(parents=True)
    (old / "gone/sub/file").touch()
    (old / "kind").mkdir()
    (old / "kind/file").touch()
    (old / "other").write_text("a file")
    (new / "kind").write_text("a file")
    (new / "other").mkdir()
    (new / "other/file").write_text("below")
    (new / "added").mkdir()
    (new / "added" / ("n" * 180)).write_bytes(os.urandom(300_000))
    os.link(new / "added" / ("n" * 180), new / "added/link")
    (new / "added/soft").symlink_to("link")
    (new / "both/mode").chmod(0o4711)
    os.setxattr(new / "both/mode", "user.a", b"=\n")
    os.mkfifo(new / "both/pipe")
    for root in (old, new):
        for path in sorted(root.rglob("*"), reverse=True):
            os.utime(path, (MTIME, MTIME), follow_symlinks=False)
        os.utime(root, (MTIME, MTIME))
    os.utime(new / "both/changed", (MTIME + 1, MTIME + 1))
    return old, new


@pytest.mark.root
def test_umoci_makes_one_tree_of_the_other(command: Command, tmp_path: Path) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("needs umoci; 'make test-peers' installs it")
    old, new = make_trees(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()

    command.ok("diff", old, empty, "-o", tmp_path / "base", "--compression", "none")
    command.ok("diff", new, old, "-o", tmp_path / "change", "--compression", "none")

    image = LayoutWriter(tmp_path / "image")
    image.add_tar(tmp_path / "base")
    image.add_tar(tmp_path / "change")
    bundle = tmp_path / "bundle"
    words = ("umoci", "unpack", "--image", f"{image.finish()}:latest", bundle)
    subprocess.run(words, check=True, capture_output=True)
    have = read_metadata(os.fsencode(bundle / "rootfs"))
    want = read_metadata(os.fsencode(new))
    for tree in (have, want):
        tree.pop(b".")
    assert compare(have, want) == []


@pytest.mark.root
def test_the_layer_names_what_is_gone_and_what_is_new(
    command: Command, tmp_path: Path
) -> None:
    old, new = make_trees(tmp_path)

    document = exported(command, "diff", new, old, "-o", tmp_path / "x.tar.gz")

    with tarfile.open(tmp_path / "x.tar.gz") as layer:
        names = layer.getnames()
    assert names == [
        ".wh.gone",
        "added",
        "added/link",
        "added/" + "n" * 180,
        "added/soft",
        "both",
        "both/changed",
        "both/mode",
        "both/pipe",
        "kind",
        "other",
        "other/file",
    ]
    assert document["entries"] == len(names)
    assert document["media_type"].endswith("layer.v1.tar+gzip")


@pytest.mark.root
def test_snapshots_give_the_layer_of_their_commit(
    command: Command, tmp_path: Path
) -> None:
    command.ok("prepare", "first")
    command.ok("commit", "base", "first")
    command.ok("prepare", "work", "base")
    info = json.loads(command.ok("info", "work", "--json"))
    Path(info["directory"], "fs/file").write_text("content")

    active = exported(command, "diff", "work", "-o", tmp_path / "active")
    committed = exported(command, "commit", "app", "work", "--layer", tmp_path / "l")
    later = exported(command, "diff", "app", "-o", tmp_path / "later")
    other = exported(command, "diff", "app", "base", "-o", tmp_path / "other")

    digests = {one["digest"] for one in (active, committed["layer"], later, other)}
    assert len(digests) == 1
    assert (tmp_path / "active").read_bytes() == (tmp_path / "l").read_bytes()


def test_standard_output_takes_a_layer(command: Command, tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "new/file").write_text("text")

    words = ("-o", "-", "--compression", "none")
    done = command("-q", "diff", tmp_path / "new", tmp_path / "old", *words)

    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout.encode())) as layer:
        assert layer.getnames() == ["file"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-o", "{}/there"], ExitCode.ALREADY_EXISTS),
        (["-o", "{}/no/x"], ExitCode.NOT_FOUND),
        (["-o", "{}/x", "--exit-code"], ExitCode.USAGE),
        (["--compression", "zstd"], ExitCode.USAGE),
        (["-o", "{}/x", "--media-type", "image/png"], ExitCode.USAGE),
        (
            ["-o", "{}/x", "--compression", "gzip", "--media-type", "a"],
            ExitCode.USAGE,
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    command: Command, tmp_path: Path, words: list[str], code: ExitCode
) -> None:
    for name in ("old", "new", "place"):
        (tmp_path / name).mkdir()
    place = tmp_path / "place"
    (place / "there").write_text("mine")

    sides = (tmp_path / "new", tmp_path / "old")
    done = command("diff", *sides, *(word.format(place) for word in words))

    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert [(p.name, p.read_text()) for p in place.iterdir()] == [("there", "mine")]


def test_a_name_that_no_layer_can_hold_is_refused(
    command: Command, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "new/.wh.file").touch()

    done = command("diff", tmp_path / "new", tmp_path / "old", "-o", tmp_path / "x")

    assert (done.returncode, done.stdout) == (ExitCode.FAILED_PRECONDITION, "")
    assert "'.wh.file' cannot be in a layer" in done.stderr
    assert not (tmp_path / "x").exists()
