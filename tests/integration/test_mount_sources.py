"""``snapfs mount SOURCE``: any image, mounted in one step, against GNU tar's tree."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from snapfs import mountinfo
from snapfs.assembly.mounting import unmount
from support.applied_layers import tar_of
from support.command import DEFAULT_SIGINT, Command, serving
from support.demo_sources import sources_of
from support.docker_registry import docker_registry
from support.fuse_users import run_script
from support.mounted_images import LAYERS, expected_tree, write_layout
from support.pushed_images import REPOSITORY, PushedImage
from support.sandbox import wait_until
from support.tree_metadata import compare, read_metadata
from support.unpack_command import is_untouched, slow_layout
from support.unprivileged import as_nobody

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@pytest.fixture
def image(tmp_path: Path) -> str:
    return f"oci:{write_layout(tmp_path / 'layout')}"


def names(command: Command) -> list[str]:
    return [
        json.loads(line)["name"] for line in command.ok("ls", "--json").splitlines()
    ]


@pytest.mark.parametrize(
    ("driver", "at"),
    [("kernel", None), ("kernel", 1), ("kernel", 2), ("fuse", None), ("fuse", 2)],
)
def test_an_image_is_what_tar_makes_of_its_layers(
    command: Command,
    target: Path,
    tmp_path: Path,
    image: str,
    driver: str,
    at: int | None,
) -> None:
    words = [] if at is None else ["--at", str(at)]

    command.by(driver).ok("mount", image, target, *words)
    found = read_metadata(os.fsencode(target))

    assert compare(found, expected_tree(tmp_path / "tar", LAYERS[:at])) == []
    with pytest.raises(OSError, match="Read-only"):
        (target / "new-file").touch()
    assert len(names(command)) == (at or 3)


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_one_layer_alone_is_what_it_adds(
    command: Command, target: Path, image: str, driver: str
) -> None:
    command.by(driver).ok("mount", image, target, "--layer", "2")

    assert (target / "d" / "sub" / "fresh").read_bytes() == b"fresh"
    assert (target / "big").stat().st_nlink == 2
    shown = set(os.listdir(target)) | {f"d/{name}" for name in os.listdir(target / "d")}
    added = {"d", "f", "to-d", "big", "big-too", "d/sub"}
    # The kernel binds the directory, and a whiteout is the device that it is there.
    assert shown - {"d/old"} == added
    assert ("d/old" in shown) == (driver == "kernel")


def test_what_was_mounted_once_is_not_unpacked_again(
    command: Command, target: Path, image: str
) -> None:
    first = command("mount", image, target)
    command.ok("umount", target)
    second = command("mount", image, target)

    assert "3 layers unpacked" in first.stderr
    assert "layers   3; 3 unpacked now" in first.stderr
    assert "unpacked (" not in second.stderr
    assert "layers   3; there already" in second.stderr
    assert "kernel driver (chosen by 'auto'" in second.stderr


def test_a_document_tells_image_layers_and_driver(
    command: Command, target: Path, image: str
) -> None:
    told: dict[str, Any] = json.loads(
        command.ok("--json", "mount", image, target, "--at", "2")
    )

    part = told["image"]
    assert (part["layers"], part["first_layer"], part["last_layer"]) == (3, 1, 2)
    assert part["unpacked"] == 2
    assert part["digest"].startswith("sha256:")
    assert told["target"] == str(target)
    assert told["read_only"] is True


def test_every_kind_of_source_is_mounted(
    command: Command, target: Path, tmp_path: Path
) -> None:
    sources = sources_of(tmp_path, command)
    copied = tmp_path / "tree"
    contents = {}

    for kind, source in sources.items():
        command.ok("mount", source, target)
        contents[kind] = (
            (target / "etc/motd").read_text(),
            (target / "etc/issue").read_text(),
        )
        if not copied.exists():
            shutil.copytree(target, copied)
        command.ok("umount", target)
    single = tmp_path / "single.tar"
    with tarfile.open(single, "w") as tar:
        tar.add(copied, "/")
    for source in (f"tar:{single}", str(single), f"dir:{copied}", str(copied)):
        command.ok("mount", source, target)
        assert (target / "etc/motd").read_text() == "base\n", source
        command.ok("umount", target)

    assert set(contents.values()) == {("base\n", "changed\n")}


def test_an_image_in_a_registry_is_mounted(
    command: Command, target: Path, tmp_path: Path
) -> None:
    pushed = PushedImage(tmp_path / "layout")
    with docker_registry(tmp_path / "registry") as host:
        pushed.push(host)
        command.ok("mount", f"docker://{host}/{REPOSITORY}:v1", target)
    found = read_metadata(os.fsencode(target))
    command.ok("umount", target)
    command.ok("mount", f"oci:{pushed.layout}", target)

    assert compare(found, read_metadata(os.fsencode(target))) == []


def test_an_ordinary_user_mounts_an_image_by_fuse(open_directory: Path) -> None:
    home = open_directory
    layers = [[item for item in layer if item[0].uid == 0] for layer in LAYERS]
    write_layout(home / "layout", layers)
    script = """
        {snapfs} mount oci:layout mnt
        cat mnt/d/link; echo; ls mnt/d
        grep -c "$PWD/mnt fuse.snapfs-fuse ro" /proc/mounts
        {snapfs} umount mnt
        mkdir scratch
        TMPDIR=$PWD/scratch {snapfs} -q mount oci:layout mnt --rw
        rm mnt/big; mkdir -m 0 mnt/closed; ls scratch/*/fs
        {snapfs} umount mnt
        rmdir scratch
    """

    done = run_script(home, script)

    assert done.returncode == 0, done.stderr
    assert "without root all files become yours" in done.stderr
    assert "only FUSE mounts for an ordinary user" in done.stderr
    assert done.stdout == "within\nlink\nsub\n1\nbig\nclosed\n"


def test_an_ordinary_user_without_fuse_is_told_what_works(open_directory: Path) -> None:
    if os.stat("/dev/fuse").st_mode & 0o002:
        pytest.skip("every user may open /dev/fuse here")
    for name in ("base", "mnt"):
        (open_directory / name).mkdir()
    user = as_nobody(open_directory / "root")

    done = user("mount", f"layers:{open_directory}/base", open_directory / "mnt")

    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert "/dev/fuse" in done.stderr
    assert "'snapfs shell'" in done.stderr


@pytest.fixture
def scratch(command: Command, tmp_path: Path) -> Path:
    """Where temporary changes go."""
    (tmp_path / "scratch").mkdir()
    command.environment["TMPDIR"] = str(tmp_path / "scratch")
    return tmp_path / "scratch"


@pytest.mark.parametrize(
    ("driver", "words"), [("kernel", ()), ("fuse", ("--layer", "2"))]
)
def test_changes_without_a_place_of_their_own_go_with_the_mount(
    command: Command,
    target: Path,
    image: str,
    scratch: Path,
    driver: str,
    words: tuple[str, ...],
) -> None:
    command.by(driver).ok("mount", image, target, "--rw", *words)
    before = read_metadata(os.fsencode(target))
    (target / "big").unlink()
    (target / "d" / "closed").mkdir(mode=0)
    shutil.rmtree(target / "f")
    [place] = scratch.iterdir()
    changed = sorted(os.listdir(place / "fs"))
    command.ok("umount", target)
    left = list(scratch.iterdir())
    command.ok("mount", image, target, "--rw", *words)

    assert changed == ["big", "d", "f"]
    assert left == []
    assert compare(read_metadata(os.fsencode(target)), before) == []


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_changes_stay_while_a_mount_is_busy(
    command: Command, target: Path, image: str, scratch: Path, driver: str
) -> None:
    command.by(driver).ok("mount", image, target, "--rw")
    (target / "made").write_text("made")
    [place] = scratch.iterdir()

    with (target / "made").open() as file:
        busy = command("umount", target)
        lazy = command("umount", "--lazy", target)
        assert file.read() == "made"

    assert busy.returncode == 5
    assert f"pid {os.getpid()}" in busy.stderr
    assert lazy.returncode == 0
    assert f"its changes stay in {str(place)!r}" in lazy.stderr
    assert (place / "fs" / "made").exists()


def test_a_lazy_umount_of_what_nobody_uses_takes_the_changes_too(
    command: Command, target: Path, image: str, scratch: Path
) -> None:
    command.ok("mount", image, target, "--rw")

    command.ok("umount", "--lazy", target)

    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_changes_in_a_place_of_the_users_stay(
    command: Command, target: Path, tmp_path: Path, image: str, driver: str
) -> None:
    kept = tmp_path / "snapfs-changes-of-mine"

    command.by(driver).ok("mount", image, target, "--upper", kept)
    (target / "made").touch()
    command.ok("umount", target)
    command.ok("mount", image, target, "--upper", kept)

    assert os.listdir(kept / "fs") == ["made"]
    assert (target / "made").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["--layer", "4"], 2, "the layers 1 to 3", id="layer"),
        pytest.param(["--at", "9"], 2, "there is no layer 9", id="at"),
        pytest.param(["--at", "1", "--layer", "1"], 2, "exclude", id="both"),
        pytest.param(["--platform", "linux/s390x"], 3, "it has: linux/", id="platform"),
    ],
)
def test_what_the_image_does_not_have_is_refused_before_it_is_unpacked(
    command: Command,
    target: Path,
    image: str,
    words: list[str],
    code: int,
    says: str,
) -> None:
    done = command("mount", image, target, *words)

    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr
    assert is_untouched(command)
    assert mountinfo.find(str(target)) is None


def test_layers_of_a_snapshot_count_as_those_of_its_image(
    command: Command, target: Path, tmp_path: Path, image: str
) -> None:
    command.ok("unpack", image, "--name", "app")

    for what in ("app", "snapshot:app"):
        command.ok("mount", what, target, "--at", "2")
        found = read_metadata(os.fsencode(target))
        command.ok("umount", target)
        assert compare(found, read_tar(tmp_path / what.replace(":", ""), 2)) == []
    command.ok("mount", "app", target, "--layer", "3")
    refused = command("mount", "app", target, "--layer", "4")

    assert (target / "big").read_bytes() == b"y" * 50
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def read_tar(scratch: Path, at: int) -> Any:  # noqa: ANN401 - a Tree
    return expected_tree(scratch, LAYERS[:at])


def test_layers_of_directories_are_counted_from_below(
    command: Command, target: Path, tmp_path: Path
) -> None:
    for name in ("top", "middle", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    what = f"layers:{tmp_path}/top:{tmp_path}/middle:{tmp_path}/base"

    command.ok("mount", what, target, "--at", "2")
    as_of = sorted(os.listdir(target))
    command.ok("umount", target)
    command.ok("mount", what, target, "--layer", "3")

    assert as_of == ["base", "middle"]
    assert os.listdir(target) == ["top"]


def test_an_image_is_mounted_out_of_a_store_that_is_served(
    command: Command, target: Path, tmp_path: Path, image: str, scratch: Path
) -> None:
    with serving(command):
        command.ok("mount", image, target, "--rw", "--at", "2")
        found = read_metadata(os.fsencode(target))
        (target / "made").touch()
        told = json.loads(command.ok("blame", "--json", target / "big"))
        command.ok("umount", target)
        command.ok("mount", image, target)

    assert compare(found, expected_tree(tmp_path / "tar", LAYERS[:2])) == []
    assert [layer["layer"] for layer in told["layers"]] == [2]
    assert list(scratch.iterdir()) == []
    assert (target / "big").read_bytes() == b"y" * 50


def test_a_damaged_image_leaves_nothing(
    command: Command, target: Path, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout")
    blobs = sorted(layout.glob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
    content = bytearray(blobs[-1].read_bytes())
    content[len(content) // 2] ^= 0xFF
    blobs[-1].write_bytes(content)

    done = command("mount", f"oci:{layout}", target)

    assert done.returncode == 7, done.stderr
    assert is_untouched(command)
    assert mountinfo.find(str(target)) is None


def test_an_interrupt_while_it_unpacks_leaves_nothing(
    command: Command, target: Path, tmp_path: Path
) -> None:
    source = f"oci:{slow_layout(tmp_path / 'slow')}"
    process = subprocess.Popen(
        [*DEFAULT_SIGINT, *command.words, "mount", source, str(target)],
        env=command.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(
        lambda: any(command.root.glob("staging/*/fs/000100")), "the unpack is at work"
    )

    process.send_signal(signal.SIGINT)
    _, said = process.communicate()

    assert (process.returncode, said) == (130, "snapfs: interrupted\n")
    assert is_untouched(command)
    assert mountinfo.find(str(target)) is None


def test_a_target_that_is_a_file_is_refused_before_it_is_unpacked(
    command: Command, tmp_path: Path, image: str
) -> None:
    (tmp_path / "file").touch()

    done = command("mount", image, tmp_path / "file")

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not a directory" in done.stderr
    assert is_untouched(command)


def test_an_image_without_layers_is_refused(
    command: Command, target: Path, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout", [])

    done = command("mount", f"oci:{layout}", target)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no layers" in done.stderr


def test_a_chain_unpacked_by_other_options_is_the_one_that_is_mounted(
    command: Command, target: Path, image: str
) -> None:
    command.ok("unpack", image, "--setuid", "strip")

    command.ok("mount", image, target)

    assert (target / "d/sub/fresh").stat().st_mode & 0o7777 == 0o755


def test_a_word_that_is_meant_as_an_image_is_told_how_to_write_it(
    command: Command, target: Path
) -> None:
    done = command("mount", "debian:12", target)

    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "docker://debian:12" in done.stderr


def test_a_tar_of_one_layer_is_mounted_as_it_is(
    command: Command, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "layer.tar").write_bytes(tar_of(LAYERS[0]))

    command.ok("mount", f"tar:{tmp_path}/layer.tar", target)

    found = read_metadata(os.fsencode(target))
    assert compare(found, read_tar(tmp_path / "expected", 1)) == []


def cleaned(command: Command, *words: str) -> dict[str, str]:
    """Return why each path of a test's own temporary changes goes, or would go."""
    found = map(json.loads, command.ok("cleanup", "--json", *words).splitlines())
    return {
        one["path"]: one["reason"]
        for one in found
        if one["path"].startswith(command.environment["TMPDIR"])
    }


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_cleanup_knows_changes_that_a_plain_umount_left(
    command: Command, target: Path, image: str, scratch: Path, driver: str
) -> None:
    command.by(driver).ok("mount", image, target, "--rw")
    (target / "made").write_bytes(b"made")
    [place] = scratch.iterdir()

    mounted = cleaned(command)
    with (target / "made").open() as file:
        unmount(str(target), lazy=True)
        still_open = cleaned(command)
        assert file.read() == "made"
    wait_until(lambda: cleaned(command, "--dry-run"), "nobody uses the mount")
    is_kept = (place / "fs/made").exists()
    removed = cleaned(command)

    assert (mounted, still_open, is_kept) == ({}, {}, True)
    reason = "changes of a mount that is gone without 'snapfs umount'"
    assert removed == {str(place): reason}
    assert list(scratch.iterdir()) == []


def test_cleanup_leaves_what_a_shell_in_a_namespace_of_its_own_changes(
    command: Command, target: Path, image: str, scratch: Path
) -> None:
    script = "echo made >made; read line; cat made"
    with subprocess.Popen(
        [*command.words, "-q", "shell", "--rw", image, "sh", "-c", script],
        env=command.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        wait_until(lambda: list(scratch.glob("*/fs/made")), "the shell is at work")
        while_it_lives = cleaned(command)
        # Its parent is what keeps the lock and would tidy up.
        process.kill()
        process.wait()
        while_the_shell_lives = cleaned(command)
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        assert process.stdout.read() == b"made\n"

    wait_until(lambda: cleaned(command), "the namespace is gone")
    assert (while_it_lives, while_the_shell_lives) == ({}, {})
    assert not list(scratch.glob("snapfs-changes-*"))


def test_cleanup_knows_changes_of_an_earlier_boot_and_of_no_mount_yet(
    command: Command, tmp_path: Path, scratch: Path
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    marks = {"before": "another boot", "killed": boot, "at-work": boot}
    for name, text in marks.items():
        place = scratch / f"snapfs-changes-{name}"
        place.mkdir()
        (place / "removed-by-snapfs-umount").write_text(text)
    (scratch / "snapfs-changes-of-mine").mkdir()

    with (scratch / "snapfs-changes-at-work/removed-by-snapfs-umount").open() as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        told = cleaned(command)  # there is no store, and need be none

    assert {os.path.basename(path): why.split()[-2:] for path, why in told.items()} == {
        "snapfs-changes-before": ["earlier", "boot"],
        "snapfs-changes-killed": ["'snapfs", "umount'"],
    }
    left = {path.name for path in scratch.iterdir()}
    assert left == {"snapfs-changes-at-work", "snapfs-changes-of-mine"}
