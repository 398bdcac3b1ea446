"""``snapfs unpack`` as a process: images in every form, and what it prints."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.kernel_overlay.mounting import unmount
from support.applied_layers import directory, entry, tar_of
from support.command import Command
from support.image_files import (
    classic_files,
    digest,
    layout_files,
    pure_layout_files,
    small_layers,
    write_directory,
    write_tar,
)
from support.images import chain_ids, image_layers
from support.sandbox import REPOSITORY
from support.trees import differences
from support.unpack_images import layout_of
from support.unprivileged import as_nobody


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    for mounted in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(mounted.target, lazy=True)


def write_oci(place: Path) -> str:
    return f"oci:{write_directory(place, pure_layout_files(place.parent))}"


def write_oci_archive(place: Path) -> str:
    return f"oci-archive:{write_tar(place, pure_layout_files(place.parent))}"


def write_docker_archive(place: Path) -> str:
    return f"docker-archive:{write_tar(place, classic_files(small_layers()))}"


def write_compressed_archive(place: Path) -> str:
    tar = write_tar(place.with_suffix(".plain"), classic_files(small_layers()))
    place.write_bytes(gzip.compress(tar.read_bytes()))
    return f"docker-archive:{place}"


def write_hybrid_archive(place: Path) -> str:
    return f"docker-archive:{write_tar(place, layout_files(place.parent))}"


@pytest.mark.parametrize(
    "write",
    [
        write_oci,
        write_oci_archive,
        write_docker_archive,
        write_compressed_archive,
        write_hybrid_archive,
    ],
)
def test_every_form_of_an_image_becomes_the_same_snapshots(
    command: Command, tmp_path: Path, write: Callable[[Path], str]
) -> None:
    source = write(tmp_path / "image")

    printed = command.ok("unpack", source)

    base, top = chain_ids(small_layers())
    assert printed == f"{top}\n"
    details = json.loads(command.ok("info", top, "--json"))
    assert details["parent"] == base
    content = {path.read_bytes() for path in command.root.glob("snapshots/*/fs/etc/*")}
    assert content == {b"base\n", b"changed\n"}
    assert command.ok("check", "--json") == ""


@pytest.mark.parametrize(
    "pack", [pytest.param(bytes, id="plain"), pytest.param(gzip.compress, id="gzip")]
)
def test_a_tar_is_an_image_of_one_layer(
    command: Command, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    tar = tar_of([directory("etc"), entry("etc/motd", b"hello\n")])
    (tmp_path / "layer").write_bytes(pack(tar))

    printed = command.ok("unpack", f"tar:{tmp_path}/layer", "--name", "app")

    assert printed == "app\n"
    info = json.loads(command.ok("info", digest(tar), "--json"))
    assert info["kind"] == "committed"


@pytest.mark.root
def test_the_mounted_image_is_the_original_tree(
    command: Command, tmp_path: Path, target: Path, archive: Path
) -> None:
    expected = tmp_path / "expected"
    expected.mkdir()
    for layer in image_layers():
        tar = tmp_path / "layer.tar"
        tar.write_bytes(gzip.decompress(layer.blob))
        apply_whiteouts(expected, tar)
        words = ("tar", "-xpf", tar, "-C", expected, "--exclude=.wh.*")
        subprocess.run(words, check=True)
    top = command.ok("unpack", archive).strip()

    command.ok("mount", top, target)

    assert differences(target, expected) == []


def apply_whiteouts(tree: Path, layer: Path) -> None:
    """Remove what the marks of a layer hide below it, as image-spec layer.md says."""
    with tarfile.open(layer) as tar:
        marks = [tree / name for name in tar.getnames() if "/.wh." in f"/{name}"]
    for mark in marks:
        is_opaque = mark.name == ".wh..wh..opq"
        name = mark.name.removeprefix(".wh.")
        for hidden in mark.parent.iterdir() if is_opaque else [mark.with_name(name)]:
            if hidden.is_dir() and not hidden.is_symlink():
                shutil.rmtree(hidden)
            else:
                hidden.unlink(missing_ok=True)


def test_json_tells_of_each_layer(command: Command, archive: Path) -> None:
    first = json.loads(command.ok("unpack", "--json", archive))
    second = json.loads(command.ok("--json", "unpack", archive))

    chain = chain_ids(image_layers())
    assert first["name"] == second["name"] == chain[-1]
    assert [layer["chain_id"] for layer in first["layers"]] == chain
    assert [layer["reused"] for layer in first["layers"]] == [False] * 3
    assert [layer["reused"] for layer in second["layers"]] == [True] * 3
    for layer in first["layers"]:
        assert layer["entries"] > 0
        assert layer["times"]["total_s"] > 0
        assert layer["warnings"] == []


def test_times_show_each_stage_and_the_sync(command: Command, archive: Path) -> None:
    image = str(archive)
    for words in (["unpack", image, "--times"], ["-v", "unpack", image]):
        done = command(*words)

        assert done.returncode == 0
        assert "INFLATE" in done.stderr
        assert "synced and published in" in done.stderr
        assert done.stdout == chain_ids(image_layers())[-1] + "\n"


def test_warnings_name_their_layer(command: Command, tmp_path: Path) -> None:
    ima = [entry("a", xattrs={"security.ima": b"x"})]
    layout = layout_of(tmp_path / "image", [entry("b")], ima)

    done = command("unpack", f"oci:{layout}")
    again = command("-q", "unpack", f"oci:{layout}")

    warning, _ = done.stderr.splitlines()
    assert re.match(
        r"snapfs: warning: layer 2, sha256:\w{64}: .*security\.ima", warning
    )
    assert again.stderr == ""


def test_bars_are_shown_on_a_terminal_only(command: Command, archive: Path) -> None:
    done = command("unpack", archive)
    seen = command.ok("rm", *reversed(chain_ids(image_layers())))
    shown = subprocess.run(
        [
            "script",
            "-qec",
            " ".join([*command.words, "unpack", str(archive)]),
            "/dev/null",
        ],
        env={**command.environment, "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert seen == ""
    assert "\x1b" not in done.stderr
    assert "of 3 layers" in shown
    assert chain_ids(image_layers())[-1] in shown


@pytest.mark.root
def test_without_root_files_are_the_users_and_devices_left_out(
    open_directory: Path,
) -> None:
    device = entry("null", type_=tarfile.CHRTYPE, device=(1, 3))
    layout = layout_of(
        open_directory / "image", [directory("a"), entry("a/b", owner=(7, 7)), device]
    )
    for path in (layout, *layout.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)

    done = as_nobody(open_directory / "root")("unpack", f"oci:{layout}")

    assert done.returncode == 0, done.stderr
    assert (
        "without root all files become yours, device nodes are left out" in done.stderr
    )
    (content,) = (open_directory / "root/snapshots").glob("*/fs")
    assert sorted(os.listdir(content)) == ["a"]
    assert (content / "a/b").stat().st_uid != 7


def modules_of(command: Command, *words: str) -> set[str]:
    """Return the modules that a command loads."""
    done = subprocess.run(
        [command.words[0], "-X", "importtime", *command.words[1:], *words],
        env=command.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def is_any_of(module: str, *packages: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def test_help_loads_nothing_of_it(command: Command) -> None:
    loaded = modules_of(command, "--help")

    assert "snapfs.cli.overview" in loaded
    ours = ("snapfs.unpack", "snapfs.image", "snapfs.cli.unpack", "rich")
    assert not any(is_any_of(module, *ours) for module in loaded)


def test_an_image_in_a_layout_loads_no_network_and_no_other_form(
    command: Command, tmp_path: Path
) -> None:
    loaded = modules_of(command, "unpack", write_oci(tmp_path / "image"))

    assert "snapfs.image.layout" in loaded
    others = ("docker_archive", "archive_index", "plain_tar", "registry.client")
    never = ("urllib3", "http", "ssl", "hpack", "google", "zstandard", "lz4.frame")
    unwanted = (*never, *(f"snapfs.image.{name}" for name in others))
    assert not [module for module in loaded if is_any_of(module, *unwanted)]


def test_the_readme_shows_what_it_prints(
    command: Command, tmp_path: Path, archive: Path
) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    found = re.search(r"## Images\n\n```console\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    shutil.copy(archive, tmp_path / "app.tar")
    program = tmp_path / "snapfs"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command.words)} "$@"\n')
    program.chmod(0o755)

    for block in re.split(r"^\$ ", found[1], flags=re.MULTILINE)[1:]:
        words, _, shown = block.partition("\n")
        printed = subprocess.run(
            f"exec 2>&1; PATH={tmp_path}:$PATH; {words}",
            cwd=tmp_path,
            env=command.environment,
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # How much the demo's image holds is this machine's affair.
        numbers = re.compile(r"[\d.]+ (entries|[KMG]iB|s\b)")
        assert numbers.sub(r"N \1", printed) == numbers.sub(r"N \1", shown), words
