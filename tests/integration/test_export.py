"""``snapfs export`` as a process: images that come back as what they were."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from snapfs.cli.exit_codes import ExitCode
from support.command import DEFAULT_SIGINT, Command, serving
from support.disks import small_disk
from support.exported_images import RICH_LAYERS, Document, blob, documents, shown
from support.exported_images import exported as run_exporting
from support.images import image_layers
from support.sandbox import wait_until
from support.tree_metadata import compare
from support.unpack_images import layout_of
from support.unprivileged import as_nobody

FORMATS = ("oci-archive", "docker-archive", "oci")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layout_of(tmp_path_factory.mktemp("images") / "image", *RICH_LAYERS)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Command:
    """Return a store that tests only read: an image, and what stands on nothing."""
    command = Command(tmp_path_factory.mktemp("stocked") / "root")
    command.ok("unpack", f"oci:{image}", "--name", "unpacked")
    command.ok("prepare", "first")
    command.ok("commit", "app", "first")
    command.ok("view", "empty")
    return command


@pytest.fixture
def other(tmp_path: Path) -> Command:
    """Return the command on another store."""
    return Command(tmp_path / "other")


def exported(command: Command, what: str, output: Path, *words: str) -> Document:
    return run_exporting(command, "export", what, "-o", output, *words)


@pytest.mark.root
@pytest.mark.parametrize("format_", FORMATS)
def test_an_exported_image_unpacked_again_shows_the_same_tree(
    stocked: Command, other: Command, tmp_path: Path, format_: str
) -> None:
    document = exported(stocked, "unpacked", tmp_path / "out", "--format", format_)
    again = other.ok("unpack", f"{format_}:{tmp_path}/out").strip()

    assert again == document["layers"][-1]["chain_id"]
    want = shown(stocked, "unpacked", tmp_path / "want")
    have = shown(other, again, tmp_path / "have")
    assert compare(have, want) == []
    assert len(want) > 15


@pytest.mark.root
def test_what_was_exported_twice_is_the_same(
    command: Command, other: Command, image: Path, tmp_path: Path
) -> None:
    top = command.ok("unpack", f"oci:{image}").strip()
    first = exported(command, top, tmp_path / "first", "--name", "app:1")
    again = other.ok("unpack", f"oci-archive:{tmp_path}/first", "--name", "app:1")

    second = exported(other, again.strip(), tmp_path / "second", "--jobs", "1")

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert second["digest"] == first["digest"]
    assert second["name"] == "docker.io/library/app:1"


@pytest.mark.root
def test_a_store_on_another_filesystem_exports_the_same(
    command: Command, image: Path, tmp_path: Path
) -> None:
    top = command.ok("unpack", f"oci:{image}").strip()
    first = exported(command, top, tmp_path / "first")

    with small_disk(tmp_path / "tmpfs", "64m") as disk:
        elsewhere = Command(disk / "root")
        elsewhere.ok("unpack", f"oci:{image}")
        second = exported(elsewhere, top, tmp_path / "second")

    assert second["digest"] == first["digest"]


@pytest.mark.root
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_layers_are_compressed_as_asked_for(
    stocked: Command, other: Command, tmp_path: Path, compression: str
) -> None:
    document = exported(
        stocked, "unpacked", tmp_path / "out", "--compression", compression
    )
    again = other.ok("unpack", tmp_path / "out").strip()

    suffix = "" if compression == "none" else f"+{compression}"
    types = {layer["media_type"] for layer in document["layers"]}
    assert types == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}
    assert again == document["layers"][-1]["chain_id"]


@pytest.mark.root
def test_speed_changes_the_blobs_and_not_the_layers(
    stocked: Command, tmp_path: Path
) -> None:
    usual = exported(stocked, "unpacked", tmp_path / "usual")["layers"]
    fast = exported(stocked, "unpacked", tmp_path / "fast", "--fast")["layers"]

    assert [layer["diff_id"] for layer in fast] == [layer["diff_id"] for layer in usual]
    assert "zlib/" in str(usual[0]["compressor"])
    assert "zlib/" not in str(fast[0]["compressor"])


@pytest.mark.root
def test_standard_output_takes_an_archive(stocked: Command, tmp_path: Path) -> None:
    exported(stocked, "unpacked", tmp_path / "file")

    with (tmp_path / "piped").open("wb") as out:
        subprocess.run(
            [*stocked.words, "-q", "export", "unpacked", "-o", "-"],
            env=stocked.environment,
            stdout=out,
            check=True,
        )

    assert (tmp_path / "piped").read_bytes() == (tmp_path / "file").read_bytes()


@pytest.mark.root
def test_times_are_no_later_than_the_epoch_of_the_sources(
    command: Command, image: Path, tmp_path: Path
) -> None:
    command.ok("prepare", "work", command.ok("unpack", f"oci:{image}").strip())
    command.ok("commit", "app", "work")
    command.environment["SOURCE_DATE_EPOCH"] = "1000000000"

    exported(command, "app", tmp_path / "out", "--format", "oci", "--owner", "7:8")

    manifest, config = documents(tmp_path / "out")
    assert config["created"] == "2001-09-09T01:46:40Z"
    assert config["history"][-1]["created_by"] == "snapfs commit app"
    assert len(config["history"]) == len(manifest["layers"]) == 4
    for layer in manifest["layers"]:
        content = blob(tmp_path / "out", layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                assert member.mtime <= 1_000_000_000
                mark = os.path.basename(member.name).startswith(".wh.")
                assert (member.uid, member.gid) == ((0, 0) if mark else (7, 8))


@pytest.mark.root
def test_the_config_of_the_image_is_kept_below_what_was_committed(
    command: Command, archive: Path, tmp_path: Path
) -> None:
    command.ok("unpack", archive, "--name", "demo")
    command.ok("prepare", "work", "demo")
    command.ok("commit", "app", "work")

    exported(command, "app", tmp_path / "out", "--format", "oci")

    _, config = documents(tmp_path / "out")
    assert config["config"]["Cmd"] == ["/srv/app/hello"]
    assert [step["created_by"] for step in config["history"]] == [
        *(layer.created_by for layer in image_layers()),
        "snapfs commit app",
    ]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(["nope", "-o", "{}/x"], 3, "'nope' does not exist", id="no key"),
        pytest.param(["app", "-o", "{}/there"], 4, "exists; remove it", id="taken"),
        pytest.param(
            ["app", "-o", "{}/no/x"], 3, "No such file or directory", id="no folder"
        ),
        pytest.param(
            ["app", "-o", "{}/there", "--format", "oci"],
            4,
            "exists; remove it",
            id="taken by a directory",
        ),
        pytest.param(["empty", "-o", "{}/x"], 5, "a view of nothing", id="empty view"),
        pytest.param(
            ["app", "-o", "{}/x", "--name", "UPPER"], 2, "lower case", id="name"
        ),
        pytest.param(
            ["app", "-o", "{}/x", "--name", "a@sha256:" + "0" * 64],
            2,
            "names a digest",
            id="digest",
        ),
        pytest.param(["app", "-o", "-", "--format", "oci"], 2, "directory", id="pipe"),
        pytest.param(
            ["app", "-o", "{}/x", "--fast", "--compression", "zstd"],
            2,
            "--fast is for gzip",
            id="fast",
        ),
        pytest.param(
            ["app", "-o", "{}/x", "--owner", "root"], 2, "is no owner", id="owner"
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    stocked: Command, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "there").write_text("mine")

    done = stocked("export", *(word.format(place) for word in words))

    assert (done.returncode, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert [(p.name, p.read_text()) for p in place.iterdir()] == [("there", "mine")]


def test_an_epoch_that_is_no_number_is_a_mistake(
    command: Command, tmp_path: Path
) -> None:
    command.environment["SOURCE_DATE_EPOCH"] = "yesterday"

    done = command("export", "app", "-o", tmp_path / "x")

    assert done.returncode == ExitCode.USAGE
    assert "SOURCE_DATE_EPOCH is 'yesterday'" in done.stderr


def commit_large(command: Command, name: str, size_bytes: int) -> None:
    """Commit a snapshot with one large file, most of it a hole."""
    command.ok("prepare", "making")
    info = json.loads(command.ok("info", "making", "--json"))
    with Path(info["directory"], "fs", "large").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(size_bytes)
    command.ok("commit", name, "making")


@pytest.mark.root
@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    command: Command, tmp_path: Path, format_: str
) -> None:
    commit_large(command, "large", 9 << 20)

    with small_disk(tmp_path / "small", "600k") as disk:
        done = command("export", "large", "-o", disk / "x", "--format", format_)
        left = list(disk.iterdir())

    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device; nothing was left" in done.stderr
    assert left == []


@pytest.mark.root
@pytest.mark.parametrize("format_", ["oci-archive", "oci"])
def test_an_interrupt_leaves_nothing(
    command: Command, tmp_path: Path, format_: str
) -> None:
    commit_large(command, "large", 1 << 40)
    place = tmp_path / "place"
    place.mkdir()
    words = ("export", "large", "-o", str(place / "x"), "--format", format_)

    with subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, *words],
        env=command.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: is_writing(process.pid, place), "the export writes")
        process.send_signal(2)
        out, err = process.communicate()

    assert (process.returncode, out, err) == (130, "", "snapfs: interrupted\n")
    assert list(place.iterdir()) == []


def is_writing(pid: int, place: Path) -> bool:
    """Tell whether a process has more than a few bytes in an open file of a place."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
            if target.startswith(str(place)) and os.stat(link).st_size > 100_000:
                return True
        except FileNotFoundError:
            continue
    return False


@pytest.mark.root
def test_an_ordinary_user_exports_what_was_unpacked(
    open_directory: Path, image: Path, tmp_path: Path
) -> None:
    layout = open_directory / "image"
    shutil.copytree(image, layout)
    for path in (layout, *layout.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    user = as_nobody(open_directory / "root")
    user.ok("unpack", f"oci:{layout}", "--name", "app")

    user.ok("export", "app", "-o", open_directory / "x", "--owner", "0:0")

    other = Command(tmp_path / "other")
    top = other.ok("unpack", open_directory / "x").strip()
    tree = shown(other, top, tmp_path / "have")
    assert tree[b"etc/passwd"].uid == 0
    assert tree[b"hidden/two"].size == 1
    assert not {b"gone", b"hidden/one"} & set(tree)


def test_a_chain_id_is_no_name_of_an_image(stocked: Command, tmp_path: Path) -> None:
    name = json.loads(stocked.ok("info", "unpacked", "--json"))["parent"]

    done = stocked("export", name, "-o", tmp_path / "x", "--format", "oci", "--json")

    assert json.loads(done.stdout)["name"] == ""
    assert "the image has no name" in done.stderr
    index = json.loads((tmp_path / "x/index.json").read_bytes())
    assert "annotations" not in index["manifests"][0]


@pytest.mark.root
def test_a_served_store_is_exported_beside_its_service(
    command: Command, image: Path, tmp_path: Path
) -> None:
    with serving(command):
        command.ok("unpack", f"oci:{image}", "--name", "app")
        command.ok("prepare", "work", "app")

        document = exported(command, "work", tmp_path / "x")

    assert len(document["layers"]) == 4
    assert command.ok("check", "--json") == ""


@pytest.mark.root
def test_a_kill_leaves_nothing_of_a_file(command: Command, tmp_path: Path) -> None:
    commit_large(command, "large", 1 << 40)
    place = tmp_path / "place"
    place.mkdir()

    with subprocess.Popen(
        [*command.words, "export", "large", "-o", str(place / "x")],
        env=command.environment,
    ) as process:
        wait_until(lambda: is_writing(process.pid, place), "the export writes")
        process.kill()

    assert list(place.iterdir()) == []


@pytest.mark.root
def test_a_terminal_shows_how_far_it_is(command: Command, tmp_path: Path) -> None:
    commit_large(command, "large", 1 << 40)
    ours, theirs = pty.openpty()
    words = ("export", "large", "-o", str(tmp_path / "x"))

    with subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, *words],
        env={**command.environment, "TERM": "xterm-256color"},
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown_so_far = b""
        while b"writing snapshot 'large'" not in shown_so_far:
            shown_so_far += os.read(ours, 4096)
        process.send_signal(2)
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while os.read(ours, 4096):
                pass
    os.close(ours)

    assert process.returncode == ExitCode.INTERRUPTED
