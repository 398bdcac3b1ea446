"""``snapfs unpack`` of what is damaged, refused or missing: one line, nothing left."""

from __future__ import annotations

import base64
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.applied_layers import directory, entry
from support.command import Command, serving
from support.disks import small_disk
from support.image_files import (
    Files,
    as_json,
    blob_path,
    digest,
    load,
    plain,
    pure_layout_files,
    small_layers,
    write_directory,
)
from support.unpack_command import committed, is_untouched, is_whole
from support.unpack_images import layout_of, staged_names
from support.unprivileged import as_nobody


def break_blob(files: Files, change: Callable[[bytes], bytes | None]) -> None:
    """Change the stored bytes of the top layer; None removes them."""
    path = blob_path(small_layers()[1].blob)
    changed = change(files[path])
    if changed is None:
        del files[path]
    else:
        files[path] = changed


def change_documents(
    files: Files,
    manifest_change: Callable[[Any], None],
    config_change: Callable[[Any], None] = lambda config: None,
) -> None:
    """Rewrite the manifest and the config, and all that names them."""
    index: Any = load(files["index.json"])
    manifest_path = "blobs/" + index["manifests"][0]["digest"].replace(":", "/")
    manifest: Any = load(files.pop(manifest_path))
    config_path = "blobs/" + manifest["config"]["digest"].replace(":", "/")
    config: Any = load(files.pop(config_path))
    config_change(config)
    manifest_change(manifest)
    for document, owner in ((config, manifest["config"]), (manifest, None)):
        content = as_json(document)
        files[blob_path(content)] = content
        named = index["manifests"][0] if owner is None else owner
        named["digest"], named["size"] = digest(content), len(content)
    files["index.json"] = as_json(index)


def store_layer(files: Files, blob: bytes) -> None:
    """Make ``blob`` the stored form of the top layer."""

    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        manifest["layers"][1].update(digest=digest(blob), size=len(blob))

    files[blob_path(blob)] = blob
    change_documents(files, change)


def media_type(word: str) -> Callable[[Files], None]:
    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        manifest["layers"][1]["mediaType"] = word

    return lambda files: change_documents(files, change)


FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
URL = "https://example.com/layer"


def foreign(*urls: str) -> Callable[[Files], None]:
    """Make the top layer one that only its publisher has."""

    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        manifest["layers"][1].update(mediaType=FOREIGN, urls=urls)

    def damage(files: Files) -> None:
        break_blob(files, lambda blob: None)
        change_documents(files, change)

    return damage


def drop_diff_id(files: Files) -> None:
    change_documents(
        files, lambda manifest: None, lambda config: config["rootfs"]["diff_ids"].pop()
    )


def wrong_diff_id(files: Files) -> None:
    def change(config: Any) -> None:  # noqa: ANN401 - JSON
        config["rootfs"]["diff_ids"][1] = digest(b"something else")

    change_documents(files, lambda manifest: None, change)


BROKEN: dict[str, tuple[Callable[[Files], None], ExitCode, str]] = {
    "missing blob": (
        lambda files: break_blob(files, lambda blob: None),
        ExitCode.NOT_FOUND,
        "is missing",
    ),
    "wrong digest": (
        lambda files: break_blob(files, lambda blob: blob[:-1] + b"x"),
        ExitCode.DATA_LOSS,
        "",
    ),
    "short blob": (
        lambda files: break_blob(files, lambda blob: blob[:-1]),
        ExitCode.DATA_LOSS,
        "",
    ),
    "wrong diff ID": (wrong_diff_id, ExitCode.DATA_LOSS, "diff ID"),
    "layer count": (drop_diff_id, ExitCode.DATA_LOSS, "2 layers"),
    "unknown compression": (
        lambda files: store_layer(files, lzma.compress(plain(small_layers()[1]))),
        ExitCode.UNAVAILABLE,
        "xz",
    ),
    "cut off inside": (
        lambda files: store_layer(files, small_layers()[1].blob[:-20]),
        ExitCode.DATA_LOSS,
        "",
    ),
    "encrypted layer": (
        media_type("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
        ExitCode.UNAVAILABLE,
        "is encrypted",
    ),
    "foreign layer": (foreign(URL), ExitCode.NOT_FOUND, f"only '{URL}' has"),
    "foreign layer from nowhere": (
        foreign(),
        ExitCode.NOT_FOUND,
        "does not say where to get it",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_image_is_one_line_and_leaves_nothing(
    command: Command, tmp_path: Path, what: str
) -> None:
    damage, code, words = BROKEN[what]
    files = pure_layout_files(tmp_path)
    damage(files)
    layout = write_directory(tmp_path / "image", files)

    done = command("unpack", f"oci:{layout}")

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(layout) in done.stderr
    assert words in done.stderr
    assert is_untouched(command)


def test_broken_images_leave_what_a_served_store_has(
    command: Command, tmp_path: Path, archive: Path
) -> None:
    with serving(command):
        command.ok("unpack", archive)
        before = committed(command)
        for number, (damage, code, words) in enumerate(BROKEN.values()):
            (tmp_path / f"{number}").mkdir()
            files = pure_layout_files(tmp_path / f"{number}")
            damage(files)
            layout = write_directory(tmp_path / f"{number}/image", files)

            done = command("unpack", f"oci:{layout}")

            assert (done.returncode, words in done.stderr) == (code, True)
            assert len(done.stderr.splitlines()) == 1
        assert committed(command) == before
        assert is_whole(command)


def test_a_foreign_layer_that_is_there_is_a_layer(
    command: Command, tmp_path: Path
) -> None:
    files = pure_layout_files(tmp_path)
    media_type(FOREIGN)(files)

    command.ok("unpack", f"oci:{write_directory(tmp_path / 'image', files)}")

    assert len(command.ok("ls", "--json").splitlines()) == 2


def test_a_layer_within_the_manifest_needs_no_blob(
    command: Command, tmp_path: Path
) -> None:
    blob = small_layers()[1].blob

    def change(manifest: Any) -> None:  # noqa: ANN401 - JSON
        manifest["layers"][1]["data"] = base64.b64encode(blob).decode()

    files = pure_layout_files(tmp_path)
    del files[blob_path(blob)]
    change_documents(files, change)

    command.ok("unpack", f"oci:{write_directory(tmp_path / 'image', files)}")

    assert len(command.ok("ls", "--json").splitlines()) == 2


def test_an_archive_that_is_cut_off_is_refused(
    command: Command, tmp_path: Path, archive: Path
) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(archive.read_bytes()[:1_000_000])

    done = command("unpack", f"docker-archive:{cut}")

    assert (done.returncode, done.stdout) == (ExitCode.DATA_LOSS, "")
    assert len(done.stderr.splitlines()) == 1
    assert not command.root.exists()


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        pytest.param("dir:.", 2, "nothing to unpack", id="directory"),
        pytest.param("layers:/usr:/etc", 2, "nothing to unpack", id="layers"),
        pytest.param("snapshot:work", 2, "nothing to unpack", id="snapshot"),
        pytest.param("work", 2, "nothing to unpack", id="key"),
        pytest.param("wrk", 2, "did you mean work", id="near a key"),
        pytest.param("oic:x", 2, "did you mean", id="near a scheme"),
        pytest.param("oci:/nowhere", 3, "/nowhere", id="no layout"),
        pytest.param("./nowhere", 3, "./nowhere", id="no path"),
    ],
)
def test_what_is_no_image_is_one_line(
    command: Command, source: str, code: int, words: str
) -> None:
    command.ok("prepare", "work")

    done = command("unpack", source)

    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


def test_another_platform_lists_those_that_there_are(
    command: Command, archive: Path
) -> None:
    done = command("unpack", archive, "--platform", "linux/s390x")

    assert done.returncode == ExitCode.NOT_FOUND
    assert "it has: linux/" in done.stderr


@pytest.mark.root
def test_a_store_of_another_user_is_refused(
    open_directory: Path, tmp_path: Path
) -> None:
    layout = layout_of(open_directory / "image", [entry("a")])
    for path in (layout, *layout.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    owner = Command(open_directory / "root")
    owner.ok("prepare", "work")

    done = as_nobody(open_directory / "root")("unpack", f"oci:{layout}")

    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert len(done.stderr.splitlines()) <= 2
    assert staged_names(owner.root) == []


@pytest.mark.root
@pytest.mark.parametrize("hidden", [".", "index.json", "blobs/sha256"])
def test_an_image_that_may_not_be_read_is_refused(
    open_directory: Path, hidden: str
) -> None:
    layout = layout_of(open_directory / "image", [entry("a")])
    for path in (layout, *layout.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (layout / hidden).chmod(0)

    done = as_nobody(open_directory / "root")("unpack", f"oci:{layout}")

    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    (line,) = done.stderr.splitlines()
    assert "permission denied" in line.lower()
    assert str(layout) in line
    assert not (open_directory / "root").exists()


@pytest.mark.root
def test_a_root_that_may_not_be_written_is_refused(open_directory: Path) -> None:
    layout = layout_of(open_directory / "image", [entry("a")])
    for path in (layout, *layout.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (open_directory / "closed").mkdir(mode=0o755)

    done = as_nobody(open_directory / "closed/root")("unpack", f"oci:{layout}")

    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    (line,) = [x for x in done.stderr.splitlines() if "without root" not in x]
    assert "permission denied" in line.lower()
    assert os.listdir(open_directory / "closed") == []


@pytest.mark.root
def test_a_disk_that_becomes_full_leaves_nothing(tmp_path: Path) -> None:
    big = [entry(f"{n}", os.urandom(1 << 20)) for n in range(6)]
    layout = layout_of(tmp_path / "image", [entry("a")], big)
    with small_disk(tmp_path / "disk") as disk:
        command = Command(disk / "root")

        done = command("unpack", f"oci:{layout}")

        assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
        assert "no space left" in done.stderr.lower()
        assert len(done.stderr.splitlines()) == 1
        assert is_untouched(command)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        pytest.param(["--max-bytes", "1K"], 7, "more than 1024 bytes", id="bytes"),
        pytest.param(["--max-entries", "2"], 7, "more than 2 entries", id="entries"),
        pytest.param(["--limit", "path-bytes=3"], 7, "3", id="path"),
        pytest.param(["--limit", "text-bytes=5"], 7, "more than 5 bytes", id="texts"),
        pytest.param(
            ["--limit", "symlink-steps=1"], 7, "more than 1 steps", id="symlinks"
        ),
        pytest.param(["--limit", "text-bytes=3G"], 2, "at most", id="too much"),
        pytest.param(["--limit", "text-byte=3"], 2, "text-bytes", id="no limit"),
        pytest.param(["--limit", "entries=-1"], 2, "no size", id="no number"),
    ],
)
def test_a_limit_that_is_set_is_kept(
    command: Command, tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    link = entry("link", type_=tarfile.SYMTYPE, link="long/name")
    entries = [directory("long/name"), link, entry("link/file", b"x" * 2000)]
    layout = layout_of(tmp_path / "image", entries)

    done = command("unpack", f"oci:{layout}", *options)

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert is_untouched(command)
    command.ok("unpack", f"oci:{layout}")
