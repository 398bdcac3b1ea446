"""``snapfs image squash``: one layer that shows what all show, from every source."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tarfile
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.applied_layers import directory, entry, hard_link
from support.command import Command
from support.exported_images import blob, documents, exported, shown
from support.images import HELLO
from support.tree_metadata import compare
from support.unpack_images import layout_of

LAYERS = (
    [
        directory("./", 0o751, owner=(3, 4)),
        directory("etc", 0o700, xattrs={"user.a": b"1"}),
        entry("etc/kept", b"kept" * 100_000, mode=0o4755, owner=(7, 8)),
        hard_link("etc/link", "etc/kept"),
        entry("etc/changed", b"old"),
        entry("gone/file", b"hidden"),
        entry("opaque/one", b"hidden"),
        entry("dev/null", type_=tarfile.CHRTYPE, device=(1, 3)),
        entry("empty", b""),
    ],
    [
        entry(".wh.gone"),
        entry("etc/changed", b"new", xattrs={"user.b": b"\0="}),
        hard_link("etc/third", "etc/kept"),
        directory("opaque"),
        entry("opaque/.wh..wh..opq"),
        entry("opaque/two", b"shown"),
        entry("deep/er/file", b"implied directories"),
    ],
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layout_of(tmp_path_factory.mktemp("images") / "image", *LAYERS)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Command:
    """Return a store that tests only read."""
    command = Command(tmp_path_factory.mktemp("stocked") / "root")
    command.ok("unpack", f"oci:{image}", "--name", "app")
    return command


@pytest.fixture
def other(tmp_path: Path) -> Command:
    return Command(tmp_path / "other")


@pytest.mark.root
@pytest.mark.parametrize("source", ["oci:{image}", "snapshot:app"])
def test_one_layer_shows_what_all_showed(
    stocked: Command, other: Command, image: Path, tmp_path: Path, source: str
) -> None:
    what = source.format(image=image)

    document = exported(stocked, "image", "squash", what, "-o", tmp_path / "flat")

    assert len(document["layers"]) == 1
    top = other.ok("unpack", tmp_path / "flat").strip()
    want = shown(stocked, "app", tmp_path / "want")
    have = shown(other, top, tmp_path / "have")
    assert compare(have, want) == []
    assert len(want) > 12
    with tarfile.open(tmp_path / "flat") as outer:
        content = outer.extractfile(outer.getmembers()[1])
        assert content is not None
        with tarfile.open(fileobj=content) as layer:
            names = layer.getnames()
    assert not any(".wh." in name or "gone" in name for name in names)


@pytest.mark.root
def test_all_sources_of_one_image_give_the_same_bytes(
    stocked: Command, image: Path, tmp_path: Path
) -> None:
    found = {
        exported(stocked, "image", "squash", source, "-o", tmp_path / str(number))[
            "layers"
        ][0]["diff_id"]
        for number, source in enumerate((f"oci:{image}", "snapshot:app"))
    }

    assert len(found) == 1


def test_a_container_starts_as_before(
    stocked: Command, archive: Path, tmp_path: Path
) -> None:
    stocked.ok("image", "squash", archive, "-o", tmp_path / "x", "--format", "oci")

    manifest, config = documents(tmp_path / "x")
    assert config["config"]["Cmd"] == ["/srv/app/hello"]
    assert config["created"] == "2024-01-01T00:00:00Z"
    assert len(manifest["layers"]) == 1
    assert [step["created_by"] for step in config["history"]] == [
        f"snapfs image squash {archive}"
    ]
    assert HELLO


@pytest.mark.root
def test_sparse_files_of_a_tar_keep_their_contents(
    stocked: Command, other: Command, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "holes").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(9 << 20)
    os.system(f"tar -C {source} -S --format=pax -cf {tmp_path}/layer.tar holes")

    stocked.ok("image", "squash", f"tar:{tmp_path}/layer.tar", "-o", tmp_path / "flat")

    top = other.ok("unpack", tmp_path / "flat").strip()
    content = Path(json.loads(other.ok("info", top, "--json"))["directory"], "fs/holes")
    assert content.read_bytes() == (source / "holes").read_bytes()


def test_a_damaged_layer_is_no_image(
    stocked: Command, archive: Path, tmp_path: Path
) -> None:
    stocked.ok("image", "squash", archive, "-o", tmp_path / "l", "--format", "oci")
    source = f"oci:{tmp_path}/l"
    stocked.ok("image", "layers", source)  # the index is kept from here on
    manifest, _ = documents(tmp_path / "l")
    digest = manifest["layers"][0]["digest"]
    path = tmp_path / "l/blobs" / digest.replace(":", "/")
    content = bytearray(blob(tmp_path / "l", digest))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    done = stocked("image", "squash", source, "-o", tmp_path / "flat")

    assert (done.returncode, done.stdout) == (ExitCode.DATA_LOSS, "")
    assert len(done.stderr.splitlines()) == 1
    assert digest in done.stderr
    assert not (tmp_path / "flat").exists()


def test_a_socket_is_left_out_and_told(stocked: Command, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with contextlib.chdir(source), socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
        os.mkfifo("fifo")
        done = stocked(
            "image", "squash", f"dir:{source}", "-o", tmp_path / "x", "--json"
        )

    assert done.returncode == 0
    assert "sockets left out" in done.stderr
    assert json.loads(done.stdout)["layers"][0]["entries"] == 2


def test_a_source_that_is_not_there_is_one_line(
    stocked: Command, tmp_path: Path
) -> None:
    done = stocked("image", "squash", "oci:/nowhere", "-o", tmp_path / "x")

    assert (done.returncode, done.stdout) == (ExitCode.NOT_FOUND, "")
    assert len(done.stderr.splitlines()) == 1
