"""Which layer a mounted path comes from: ``blame``, and attributes on FUSE mounts.

What the answers must be is taken from the layers as they are written down: a file
comes from the highest layer that names it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from snapfs import mountinfo
from snapfs.assembly.mounting import unmount
from support.applied_layers import Item, entry
from support.command import Command
from support.mounted_images import LAYERS, write_layout

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@pytest.fixture(autouse=True)
def scratch(command: Command, tmp_path: Path) -> None:
    """Have temporary changes go where pytest cleans up."""
    (tmp_path / "scratch").mkdir()
    command.environment["TMPDIR"] = str(tmp_path / "scratch")


# One of each sort; a command for every path would take long.
PATHS = ("big", "big-too", "d/sub/fresh", "f/within", "h2")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    for mount in reversed(mountinfo.mounts_below(str(tmp_path))):
        unmount(mount.target, lazy=True)


@pytest.fixture
def image(tmp_path: Path) -> str:
    return f"oci:{write_layout(tmp_path / 'layout')}"


def naming(path: str, layers: Sequence[Sequence[Item]] = LAYERS) -> list[int]:
    """Return the layers that name ``path`` or something below it, highest first."""
    found: list[int] = []
    for number, layer in enumerate(layers, 1):
        names = [info.name.removeprefix("./").strip("/") for info, _ in layer]
        shown = [name for name in names if not os.path.basename(name).startswith(".wh")]
        if any(f"{name}/".startswith(f"{path}/") for name in shown):
            found.insert(0, number)
    return found


def files_of(top: Path) -> list[str]:
    """Return the paths of all files and directories below ``top``."""
    found = []
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                found.append(os.path.relpath(path, top))
    return sorted(found)


def blame(command: Command, path: Path) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = json.loads(command.ok("blame", "--json", path))[
        "layers"
    ]
    return layers


@pytest.mark.parametrize(
    "driver", [pytest.param("kernel", marks=pytest.mark.full), "fuse"]
)
def test_blame_names_the_layer_of_every_path_of_a_mounted_image(
    command: Command, target: Path, image: str, driver: str
) -> None:
    command.ok("--driver", driver, "mount", image, target, "--rw")
    (target / "to-f").unlink()
    (target / "new" / "made").touch()

    assert {"new/made", *PATHS} <= set(files_of(target))
    for path in ("new/made", *PATHS):
        told = blame(command, target / path)[0]
        expected = 4 if path == "new/made" else naming(path)[0]
        assert (path, told["layer"], told["role"]) == (path, expected, "supplies")

    merged = blame(command, target / "d")
    assert [(e["layer"], e["role"]) for e in merged] == [
        (3, "supplies"),
        (2, "merged"),
        (1, "merged"),
    ]
    assert [e["command"] for e in merged] == ["layer 2", "layer 1", "layer 0"]
    for path, layer in (("d/old", 2), ("to-f", 4)):
        (told,) = blame(command, target / path)
        assert (told["layer"], told["role"]) == (layer, "removes")
    assert command("blame", target / "never").returncode == 3


def test_a_table_shows_what_made_the_layer(
    command: Command, target: Path, image: str
) -> None:
    command.ok("mount", image, target)

    header, line = command.ok("blame", target / "f" / "within").splitlines()

    assert header.split() == ["LAYER", "ROLE", "KEY", "DIRECTORY", "COMMAND"]
    assert line.split()[:2] == ["2", "supplies"]
    assert line.endswith("layer 1")


@pytest.mark.parametrize(
    ("driver", "words"), [("kernel", ("--layer", "2")), ("fuse", ("--at", "2"))]
)
def test_part_of_an_image_is_counted_as_the_whole(
    command: Command, target: Path, image: str, driver: str, words: tuple[str, ...]
) -> None:
    command.ok("--driver", driver, "mount", image, target, *words)

    told = blame(command, target / "big")

    assert [e["layer"] for e in told] == [2]


def test_shared_content_is_the_layer_that_it_is_in_this_image(
    command: Command, target: Path, tmp_path: Path
) -> None:
    base, middle, top = ([entry(name)] for name in ("base", "middle", "top"))
    one = write_layout(tmp_path / "one", [base, top])
    other = write_layout(tmp_path / "other", [base, middle, top])
    command.ok("unpack", f"oci:{one}")
    chain = json.loads(command.ok("--json", "mount", f"oci:{other}", target))

    (told,) = blame(command, target / "top")

    assert chain["image"]["unpacked"] == 2
    assert told["layer"] == 3
    command.ok("umount", target)
    command.ok("mount", f"oci:{one}", target)
    (told_of_one,) = blame(command, target / "top")
    assert told_of_one["layer"] == 2
    assert told_of_one["key"] != told["key"]
    assert told_of_one["directory"] == told["directory"]


def test_a_path_in_the_store_is_a_layers_too(command: Command, image: str) -> None:
    command.ok("unpack", image, "--name", "app")
    top = command.ok("unpack", image).strip()
    details = json.loads(command.ok("info", top, "--json"))

    told = blame(command, Path(details["directory"], "fs", "d", "sub"))

    assert [(e["layer"], e["role"]) for e in told] == [(2, "supplies")]


def test_attributes_tell_the_layer_on_a_mount_that_has_them(
    command: Command, target: Path, image: str
) -> None:
    command.ok("mount", "--provenance", "--rw", image, target)
    (target / "d" / "made").write_text("made")

    for path in files_of(target):
        place = target / path
        expected = {"d": 4, "d/made": 4}.get(path) or naming(path)[0]
        assert attribute(place, "layer") == str(expected), path
        inside = os.path.join(attribute(place, "directory"), attribute(place, "path"))
        assert attribute(place, "path") == path
        assert os.path.isdir(inside) == place.is_dir()
        if place.is_file():
            assert Path(inside).read_bytes() == place.read_bytes()
        listed = os.listxattr(place)
        assert not any(name.startswith("user.snapfs.") for name in listed)
    assert attribute(target / "d", "layers") == "4 3 2 1"
    assert attribute(target / "d" / "sub", "layers") == "2"
    assert attribute(target, "layers") == "4 3 2 1"


def attribute(path: Path, word: str) -> str:
    return os.fsdecode(os.getxattr(path, f"user.snapfs.{word}"))


def test_attributes_of_provenance_are_for_nobody_to_set(
    command: Command, target: Path, image: str
) -> None:
    command.ok("mount", "--provenance", "--rw", image, target)

    with pytest.raises(PermissionError):
        os.setxattr(target / "big", "user.snapfs.layer", b"9")
    with pytest.raises(PermissionError):
        os.removexattr(target / "big", "user.snapfs.layer")
    with pytest.raises(OSError, match=r"No data available|not supported") as raised:
        os.getxattr(target / "big", "user.snapfs.unknown")

    assert raised.value.errno == errno.ENODATA
    assert attribute(target / "big", "layer") == "3"


def test_a_removed_file_that_is_open_still_has_a_layer_and_no_path(
    command: Command, target: Path, image: str
) -> None:
    command.ok("mount", "--provenance", "--rw", image, target)

    with (target / "big").open("r+") as file:
        file.write("z")
        file.flush()
        (target / "big").unlink()
        layer = os.getxattr(file.fileno(), "user.snapfs.layer")
        with pytest.raises(OSError, match=r"No data available|not supported") as raised:
            os.getxattr(file.fileno(), "user.snapfs.path")

    assert layer == b"4"
    assert raised.value.errno == errno.ENODATA


@pytest.mark.parametrize("words", [(), ("--rw",)])
def test_without_the_option_there_are_no_such_attributes(
    command: Command, target: Path, image: str, words: tuple[str, ...]
) -> None:
    command.ok("--driver", "fuse", "mount", image, target, *words)

    with pytest.raises(OSError, match=r"No data available|not supported") as raised:
        os.getxattr(target / "big", "user.snapfs.layer")

    assert raised.value.errno in (errno.ENODATA, errno.ENOTSUP)


def test_a_read_only_mount_of_plain_files_has_them_too(
    command: Command, target: Path, tmp_path: Path
) -> None:
    for name in ("top", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    what = f"layers:{tmp_path}/top:{tmp_path}/base"

    command.ok("mount", "--provenance", what, target)

    assert stat.S_ISREG((target / "base").stat().st_mode)
    assert attribute(target / "base", "layer") == "1"
    assert attribute(target / "top", "directory") == str(tmp_path / "top")


def test_the_kernels_driver_has_no_provenance(
    command: Command, target: Path, image: str
) -> None:
    done = command("--driver", "kernel", "mount", "--provenance", image, target)

    assert (done.returncode, "--driver fuse" in done.stderr) == (2, True)
    assert mountinfo.find(str(target)) is None
