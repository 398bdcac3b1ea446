"""``snapfs unpack`` as a process: images in every form, accidents, interrupts."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snapfs import mountinfo
from snapfs.cli.exit_codes import ExitCode
from snapfs.kernel_overlay.mounting import unmount
from support.applied_layers import directory, entry, tar_of
from support.command import DEFAULT_SIGINT, Command, serving
from support.disks import small_disk
from support.image_files import (
    Files,
    as_json,
    blob_path,
    classic_files,
    digest,
    layout_files,
    load,
    plain,
    pure_layout_files,
    small_layers,
    write_directory,
    write_tar,
)
from support.images import chain_ids, image_layers
from support.sandbox import REPOSITORY, wait_until
from support.trees import differences
from support.unpack_images import layout_of, staged_names, workers_of
from support.unprivileged import as_nobody


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    for mounted in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(mounted.target, lazy=True)


def is_untouched(command: Command) -> bool:
    """Whether the store, if there is one, holds nothing at all."""
    if not command.root.exists():
        return True
    return (
        command.ok("ls", "--json") == ""
        and staged_names(command.root) == []
        and command.ok("check", "--json") == ""
    )


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


def foreign(files: Files) -> None:
    break_blob(files, lambda blob: None)
    media_type("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")(files)


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
        ExitCode.USAGE,
        "is encrypted",
    ),
    "foreign layer": (foreign, ExitCode.NOT_FOUND, "is missing"),
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


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """An image that takes long enough to be caught in the middle."""
    many = [entry(f"{n:06}") for n in range(30_000)]
    return f"oci:{layout_of(tmp_path / 'slow', [entry('a')], many)}"


def start(command: Command, source: str) -> subprocess.Popen[str]:
    """Start an unpack; return when it writes files."""
    process = subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, "unpack", source],
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def is_writing() -> bool:
        assert process.poll() is None, process.communicate()
        return any(
            os.path.exists(name) for name in command.root.glob("staging/*/fs/000100")
        )

    wait_until(is_writing, "the unpack writes files")
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_in_the_middle_leaves_nothing(
    command: Command, slow: str, number: signal.Signals
) -> None:
    with start(command, slow) as process:
        workers = workers_of(process.pid)
        for _ in range(3):  # people are impatient
            process.send_signal(number)
        out, err = process.communicate()

    assert (process.returncode, out, err) == (130, "", "snapfs: interrupted\n")
    assert not any(worker.is_running() for worker in workers)
    assert is_untouched(command)


def test_a_kill_in_the_middle_leaves_nothing_that_cleanup_does_not_reclaim(
    command: Command, slow: str
) -> None:
    with start(command, slow) as process:
        workers = workers_of(process.pid)
        process.kill()
        process.communicate()
    wait_until(lambda: not any(w.is_running() for w in workers), "the workers end")

    command.ok("cleanup")

    assert is_untouched(command)
    command.ok("unpack", slow)


@pytest.mark.root
def test_a_served_store_takes_images(command: Command, archive: Path) -> None:
    with serving(command):
        printed = command.ok("unpack", archive, "--name", "app")
        listed = command.ok("ls", "--json").splitlines()
        assert command.ok("check", "--json") == ""

    assert printed == "app\n"
    assert len(listed) == 4


@pytest.mark.root
def test_the_service_may_restart_while_an_image_is_unpacked(
    command: Command, slow: str
) -> None:
    with serving(command):
        process = start(command, slow)
    with process, serving(command):
        out, err = process.communicate()

        assert process.returncode == 0, err
        assert json.loads(command.ok("info", out.strip(), "--json"))
        assert command.ok("check", "--json") == ""


@pytest.mark.root
def test_two_commands_unpack_one_image_at_once(command: Command, archive: Path) -> None:
    words = [*command.words, "-q", "unpack", str(archive)]
    with serving(command):
        both = [
            subprocess.Popen(
                words, env=command.environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        printed = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert set(printed) == {f"{chain_ids(image_layers())[-1]}\n"}
    assert is_whole(command)


def is_whole(command: Command) -> bool:
    return command.ok("check", "--json") == "" and staged_names(command.root) == []


@pytest.mark.root
def test_help_loads_nothing_of_it() -> None:
    done = subprocess.run(
        [
            *Command(Path("/none")).words[:1],
            "-X",
            "importtime",
            "-m",
            "snapfs",
            "--help",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "click" in loaded
    assert not any(
        name.startswith(("snapfs.unpack", "snapfs.image", "snapfs.cli.unpack", "rich"))
        for name in loaded
    )


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
