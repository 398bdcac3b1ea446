"""``snapfs commit --layer``, and exports of what was changed through a mount."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.applied_layers import directory, entry, hard_link, symlink
from support.command import Command
from support.disks import small_disk
from support.exported_images import exported, shown
from support.tree_metadata import compare
from support.unpack_images import layout_of

BASE = [
    directory("./"),
    directory("etc"),
    entry("etc/passwd", b"root"),
    entry("etc/shadow", b"secret", mode=0o600, xattrs={"user.a": b"1"}),
    entry("etc/touched", b"the same"),
    directory("old"),
    entry("old/one", b"1"),
    entry("old/sub/two", b"2"),
    entry("gone/file", b"x"),
    entry("bin/a", b"binary" * 1000),
    hard_link("bin/b", "bin/a"),
    symlink("link", "etc"),
    entry("becomes", b"a directory"),
    entry("tree/file", b"becomes a file"),
]

EPOCH = "1700000000"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layout_of(tmp_path_factory.mktemp("images") / "image", BASE)


@pytest.fixture
def based(command: Command, image: Path) -> Command:
    """Return a store with an image, and an active snapshot ``work`` on it."""
    command.ok("unpack", f"oci:{image}", "--name", "base")
    command.ok("prepare", "work", "base")
    return command


@pytest.fixture
def bare(command: Command) -> Command:
    """Return a store with an active snapshot ``work`` on nothing."""
    command.ok("prepare", "work")
    return command


@contextmanager
def mounted(command: Command, key: str, target: Path, *words: str) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    command.ok(*words, "mount", key, target, "--rw")
    try:
        yield target
    finally:
        command.ok("umount", target)


def change_everything(root: Path) -> None:
    """Make one change of each kind, as a container would."""
    (root / "etc/passwd").write_text("root\nuser")
    (root / "etc/shadow").chmod(0o640)
    (root / "etc/touched").write_bytes((root / "etc/touched").read_bytes())
    os.utime(root / "etc/touched", ns=(0, 1_600_000_000 * 10**9))
    (root / "new/deep/er").mkdir(parents=True)
    (root / "new/deep/er/file").write_bytes(os.urandom(100_000))
    os.setxattr(root / "new/deep/er/file", "user.note", b"=\n\0")
    os.link(root / "new/deep/er/file", root / "new/hard")
    (root / "gone/file").unlink()
    (root / "gone").rmdir()
    shutil.move(
        root / "old", root / "renamed"
    )  # copies where overlayfs must not rename
    (root / "renamed/one").unlink()
    (root / "bin/a").chmod(0o4755)
    (root / "link").unlink()
    (root / "link").symlink_to("bin")
    (root / "becomes").unlink()
    (root / "becomes").mkdir()
    (root / "becomes/file").touch()
    (root / "tree/file").unlink()
    (root / "tree").rmdir()
    (root / "tree").write_text("a file now")
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    os.mkfifo(root / "pipe")
    with (root / "holes").open("wb") as file:
        file.truncate(20 << 20)


def names_of(layer: Path) -> list[str]:
    with tarfile.open(layer) as archive:
        return archive.getnames()


@pytest.mark.root
@pytest.mark.parametrize(
    "driver",
    ["kernel", pytest.param("fuse", marks=pytest.mark.fuse)],
)
def test_changes_made_through_a_mount_come_back(
    command: Command, image: Path, tmp_path: Path, driver: str
) -> None:
    command.ok("unpack", f"oci:{image}", "--name", "base")
    command.ok("--driver", driver, "prepare", "work", "base")
    with mounted(command, "work", tmp_path / "mnt", "--driver", driver) as root:
        change_everything(root)
    command.ok("commit", "app", "work")

    document = exported(command, "export", "app", "-o", tmp_path / "x", "--ns")
    other = Command(tmp_path / "other")
    top = other.ok("unpack", tmp_path / "x").strip()

    assert top == document["layers"][-1]["chain_id"]
    want = shown(command, "app", tmp_path / "want")
    have = shown(other, top, tmp_path / "have")
    # The root of a snapshot is as old as the snapshot. The hard link that a change of
    # one of its names broke, as overlayfs does, is broken for ever.
    for tree in (have, want):
        tree.pop(b".")
    assert compare(have, want) == []
    assert want[b"new/hard"].links == (b"new/deep/er/file", b"new/hard")
    assert want[b"becomes"].type == "directory"


@pytest.mark.root
def test_a_layer_holds_what_changed_and_no_more(based: Command, tmp_path: Path) -> None:
    with mounted(based, "work", tmp_path / "mnt") as root:
        (root / "etc/passwd").write_text("changed")
        with (root / "etc/touched").open("ab"):
            pass  # copied up, and not changed
        (root / "gone/file").unlink()

    document = exported(
        based, "commit", "app", "work", "--layer", tmp_path / "l.tar.gz"
    )

    assert names_of(tmp_path / "l.tar.gz") == [
        "etc",
        "etc/passwd",
        "gone",
        "gone/.wh.file",
    ]
    assert document["name"] == "app"
    assert document["layer"]["entries"] == 4
    assert document["layer"]["media_type"].endswith(".tar+gzip")
    assert json.loads(based.ok("info", "app", "--json"))["kind"] == "committed"
    assert based("info", "work").returncode == ExitCode.NOT_FOUND


@pytest.mark.root
def test_the_same_changes_elsewhere_and_later_are_the_same_layer(
    based: Command, image: Path, tmp_path: Path
) -> None:
    other = Command(tmp_path / "other")
    other.ok("unpack", f"oci:{image}", "--name", "another")
    other.ok("prepare", "task", "another")
    digests = set()
    for command, key in ((based, "work"), (other, "task")):
        command.environment["SOURCE_DATE_EPOCH"] = EPOCH
        with mounted(command, key, tmp_path / "mnt") as root:
            names = ["a", "b", "c"] if key == "work" else ["c", "b", "a"]
            for name in names:
                (root / name).write_text(name)
            (root / "etc/shadow").unlink()
            (root / "etc/passwd").chmod(0o600)
        document = exported(
            command, "commit", "app", key, "--layer", tmp_path / f"{key}.tar"
        )
        digests.add(document["layer"]["digest"])

    assert len(digests) == 1


@pytest.mark.root
@pytest.mark.parametrize(
    ("words", "media_type", "magic"),
    [
        (["--compression", "zstd"], "tar+zstd", b"\x28\xb5\x2f\xfd"),
        (["--compression", "lz4"], "tar+lz4", b"\x04\x22\x4d\x18"),
        (["--compression", "none"], "layer.v1.tar", b"etc/"),
        (["--fast"], "tar+gzip", b"\x1f\x8b\x08"),
        (
            ["--media-type", "application/vnd.docker.image.rootfs.diff.tar.gzip"],
            "rootfs.diff.tar.gzip",
            b"\x1f\x8b\x08",
        ),
    ],
)
def test_a_layer_is_stored_as_asked_for(
    bare: Command, tmp_path: Path, words: list[str], media_type: str, magic: bytes
) -> None:
    content = Path(json.loads(bare.ok("info", "work", "--json"))["directory"], "fs")
    (content / "etc").mkdir()
    (content / "etc/file").write_text("added")

    document = exported(
        bare, "commit", "app", "work", "--layer", tmp_path / "l", *words
    )

    assert document["layer"]["media_type"].endswith(media_type)
    assert (tmp_path / "l").read_bytes().startswith(magic)
    listed = bare.ok("image", "ls", f"tar:{tmp_path}/l", "/etc")
    assert listed == "file\n"


@pytest.mark.root
def test_a_mistake_commits_nothing_and_leaves_no_layer(
    based: Command, tmp_path: Path
) -> None:
    (tmp_path / "there").write_text("mine")
    cases = {
        ("app", "work", "--layer", f"{tmp_path}/there"): ExitCode.ALREADY_EXISTS,
        ("app", "base", "--layer", f"{tmp_path}/x"): ExitCode.FAILED_PRECONDITION,
        ("app", "none", "--layer", f"{tmp_path}/x"): ExitCode.NOT_FOUND,
        ("base", "work", "--layer", f"{tmp_path}/x"): ExitCode.ALREADY_EXISTS,
        ("app", "work", "--fast"): ExitCode.USAGE,
        (
            *("app", "work", "--layer", f"{tmp_path}/x"),
            *("--media-type", "text/plain"),
        ): ExitCode.USAGE,
    }

    for words, code in cases.items():
        done = based("commit", *words)
        assert (done.returncode, done.stdout) == (code, ""), words
        assert len(done.stderr.splitlines()) == 1

    assert not (tmp_path / "x").exists()
    assert (tmp_path / "there").read_text() == "mine"
    assert json.loads(based.ok("info", "work", "--json"))["kind"] == "active"


@pytest.mark.root
def test_a_full_disk_commits_nothing(bare: Command, tmp_path: Path) -> None:
    content = Path(json.loads(bare.ok("info", "work", "--json"))["directory"], "fs")
    (content / "large").write_bytes(os.urandom(3 << 20))

    with small_disk(tmp_path / "small", "1m") as disk:
        done = bare("commit", "app", "work", "--layer", disk / "x")
        left = list(disk.iterdir())

    assert (done.returncode, done.stdout, left) == (ExitCode.FAILED, "", [])
    assert "No space left on device" in done.stderr
    assert json.loads(bare.ok("info", "work", "--json"))["kind"] == "active"


@pytest.mark.root
def test_a_layer_goes_to_standard_output(bare: Command, tmp_path: Path) -> None:
    content = Path(json.loads(bare.ok("info", "work", "--json"))["directory"], "fs")
    (content / "file").write_text("added")

    done = bare("-q", "commit", "app", "work", "--layer", "-", "--compression", "none")

    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout.encode())) as archive:
        assert archive.getnames() == ["file"]


@pytest.mark.root
def test_an_active_snapshot_is_exported_with_its_changes(
    based: Command, tmp_path: Path
) -> None:
    with mounted(based, "work", tmp_path / "mnt") as root:
        (root / "added").write_text("so far")

    document = exported(based, "export", "work", "-o", tmp_path / "x")

    assert len(document["layers"]) == 2
    other = Command(tmp_path / "other")
    top = other.ok("unpack", tmp_path / "x").strip()
    assert shown(other, top, tmp_path / "have")[b"added"].size == 6


@pytest.mark.root
def test_a_socket_in_the_place_of_a_file_is_no_layer(
    based: Command, tmp_path: Path
) -> None:
    with (
        mounted(based, "work", tmp_path / "mnt") as root,
        socket.socket(socket.AF_UNIX) as opened,
    ):
        (root / "etc/passwd").unlink()
        opened.bind(str(root / "etc/passwd"))

    done = based("commit", "app", "work", "--layer", tmp_path / "x")

    assert done.returncode == ExitCode.FAILED_PRECONDITION
    assert "'etc/passwd' became a socket" in done.stderr
