"""Full disks, refused calls, lost privileges, and the removal of what is left."""

from __future__ import annotations

import os
import re
import resource
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
)
from snapfs.layer.removal import discard_tree
from snapfs.worker.measuring import measure_tree
from support.applied_layers import (
    apply_items,
    apply_tar,
    directory,
    entry,
    hard_link,
    opened,
    symlink,
    tar_of,
)
from support.disks import inlining_disk, mounted, small_disk
from support.unprivileged import NOBODY, as_nobody

# cap_net_raw, vfs_cap_data of version 2.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)

SCRIPT = """
import os, sys
from pathlib import Path
from support.applied_layers import apply_tar
from snapfs.layer.form import OverlayForm
from snapfs.layer.limits import DevicePolicy, Policy
from snapfs.overlay_format import XattrPrefix

data, staging = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
policy = Policy(
    keep_owners=sys.argv[3] == "keep",
    devices=DevicePolicy(sys.argv[4]),
)
try:
    applied = apply_tar(
        staging, data, form=OverlayForm(XattrPrefix.USER), policy=policy
    )
except Exception as error:
    print(f"{type(error).__name__}: {error}")
else:
    print(*applied.warnings, sep="\\n")
"""


@pytest.fixture
def open_place() -> Iterator[Path]:
    """Make a directory that every user gets to and may write to."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def changed_at(path: Path) -> tuple[int, int]:
    """Return what any change but that of an atime moves on."""
    return path.stat().st_ino, path.stat().st_ctime_ns


def apply_as_nobody(
    place: Path, *items: object, owners: str = "own", devices: str = "placeholder"
) -> str:
    """Apply a layer as another user; return what it said."""
    (place / "tar").write_bytes(tar_of(items))  # type: ignore[arg-type]  # as given
    command = as_nobody(place)
    words = command.words[: command.words.index("--") + 2]
    done = subprocess.run(
        [*words, "-c", SCRIPT, place / "tar", place / "layer", owners, devices],
        env=command.environment
        | {
            "PYTHONPATH": command.environment["PYTHONPATH"]
            + f":{Path(__file__).parents[2]}"
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize("size", [100, 8 << 20], ids=["small files", "one large file"])
def test_a_full_disk_names_the_entry(tmp_path: Path, size: int) -> None:
    items = [
        entry(f"file{n}", os.urandom(size))
        for n in range(min(2000, 1 + 8192 // size * 20))
    ]

    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        pytest.raises(ResourceExhaustedError, match=r"entry 'file\d+': .*No space"),
    ):
        apply_items(disk / "layer", *items)


@pytest.mark.root
def test_a_disk_without_inodes_names_the_entry(tmp_path: Path) -> None:
    items = [entry(f"file{n}") for n in range(50)]

    with (
        mounted(tmp_path / "d", "-t", "tmpfs", "-o", "nr_inodes=20", "tmpfs") as disk,
        pytest.raises(ResourceExhaustedError, match=r"entry 'file\d+': .*No space"),
    ):
        apply_items(disk / "layer", *items)


def test_running_out_of_descriptors_names_the_entry(tmp_path: Path) -> None:
    in_use = len(os.listdir("/proc/self/fd"))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    items = [entry("/".join("d" * n) + "/f") for n in range(1, 60)]

    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 20, before[1]))
    try:
        with pytest.raises(ResourceExhaustedError, match="open files"):
            apply_items(tmp_path / "layer", *items)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.root
def test_a_malformed_capability_names_the_entry(tmp_path: Path) -> None:
    bad = entry("f", xattrs={"security.capability": b"x"})

    with pytest.raises(DataLossError, match="entry 'f'"):
        apply_items(tmp_path / "layer", bad)


def test_a_body_that_is_cut_short_names_the_entry(tmp_path: Path) -> None:
    data = tar_of([entry("f", bytes(3 << 20))])[: 2 << 20]

    with pytest.raises(DataLossError, match="'f'"):
        apply_tar(tmp_path / "layer", data)


def test_no_descriptor_is_left_open_after_an_error(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))

    with pytest.raises(SnapfsError):
        apply_items(tmp_path / "layer", entry("a/b/c/f"), entry("../x"))

    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.root
def test_usage_is_what_the_tree_occupies(tmp_path: Path) -> None:
    applied = apply_items(
        tmp_path / "layer",
        entry("f", bytes(100_000)),
        hard_link("g", "f"),
        entry("old/a", bytes(50_000)),
        hard_link("old/b", "old/a"),
        hard_link("kept", "f"),
        entry("old", b"new"),
        symlink("l", "f" * 100),
        entry("g", bytes(5000)),
        entry("d/.wh.x"),
        entry("p", type_=tarfile.FIFOTYPE),
    )

    assert applied.usage == measure_tree(str(tmp_path / "layer"))


@pytest.mark.root
def test_usage_counts_no_blocks_for_what_lies_in_inodes(tmp_path: Path) -> None:
    with inlining_disk(tmp_path / "disk") as disk:
        (disk / "tiny").write_bytes(b"x")
        assert (disk / "tiny").stat().st_blocks == 1  # for want of a block
        items = [entry(f"f{number}", b"x") for number in range(50)]

        applied = apply_items(disk / "layer", *items, entry("g", bytes(5000)))

        assert applied.usage == measure_tree(str(disk / "layer"))


def test_usage_counts_no_holes_of_small_files(tmp_path: Path) -> None:
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(60_000)
    command = ["tar", "-S", "-cf-", "hole"]
    data = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    applied = apply_tar(tmp_path / "layer", data.stdout)

    assert applied.usage == measure_tree(str(tmp_path / "layer"))


@pytest.mark.root
def test_without_privileges_all_belongs_to_the_caller(open_place: Path) -> None:
    said = apply_as_nobody(
        open_place,
        directory("d", 0o555, owner=(0, 0), xattrs={"user.note": b"1"}),
        entry("d/f", b"x", mode=0o444, owner=(1, 1), xattrs={"user.note": b"1"}),
        entry("d/s", b"x", mode=0o4755),
        entry("c", type_=tarfile.CHRTYPE, device=(1, 3)),
        entry("ping", b"x", xattrs={"security.capability": CAPABILITY}),
        entry("p", type_=tarfile.FIFOTYPE),
        entry(".wh.gone"),
        directory("opaque"),
        entry("opaque/.wh..wh..opq"),
    )

    layer = open_place / "layer"
    assert "Error" not in said
    owners = {path.lstat().st_uid for path in layer.rglob("*")}
    assert owners == {NOBODY}
    assert os.getxattr(layer / "d/f", "user.note") == b"1"
    assert os.getxattr(layer / "opaque", "user.overlay.opaque") == b"y"
    assert (layer / "d/s").stat().st_mode & 0o7777 == 0o4755
    assert (layer / "gone").is_char_device()
    assert "device nodes replaced" in said
    assert "security.capability" in said


@pytest.mark.root
@pytest.mark.parametrize(
    ("item", "owners", "devices"),
    [
        pytest.param(entry("f", owner=(0, 0)), "keep", "skip", id="owner"),
        pytest.param(
            entry("f", type_=tarfile.BLKTYPE, device=(7, 0)), "own", "allow", id="mknod"
        ),
    ],
)
def test_what_takes_privileges_is_an_error_that_names_the_entry(
    open_place: Path, item: object, owners: str, devices: str
) -> None:
    said = apply_as_nobody(open_place, item, owners=owners, devices=devices)

    assert said.startswith(f"{PermissionDeniedError.__name__}: entry 'f': ")


@pytest.mark.root
def test_nothing_outside_changes_for_an_ordinary_user_either(open_place: Path) -> None:
    canary = open_place / "canary"
    canary.mkdir(mode=0o777)
    canary.chmod(0o777)
    (canary / "file").write_text("safe")
    before = [changed_at(path) for path in (canary, canary / "file")]

    for name in ("../canary/x", f"{canary}/y", "l/z"):
        apply_as_nobody(
            open_place, symlink("l", str(canary)), entry(name, b"x"), owners="own"
        )
        subprocess.run(["rm", "-rf", open_place / "layer"], check=True)

    assert [path.name for path in canary.iterdir()] == ["file"]
    assert [changed_at(path) for path in (canary, canary / "file")] == before


def test_discarding_leaves_the_directory_empty_and_links_unfollowed(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    deep = "/".join(["directory"] * 300)
    layer = tmp_path / "layer"
    apply_items(
        layer,
        entry(f"{deep}/f"),
        directory("closed", 0),
        entry("closed/f"),
        symlink("l", str(victim)),
        directory("empty"),
    )

    with opened(layer) as fd:
        discard_tree(fd)

    assert list(layer.iterdir()) == []
    assert (victim / "file").exists()


def test_messages_show_odd_names_escaped(tmp_path: Path) -> None:
    name = "caf\udce9\n"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = {int(fd) for fd in os.listdir("/proc/self/fd")}
    few = [fd for fd in range(100 + len(in_use)) if fd not in in_use][12]
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    try:
        with pytest.raises(SnapfsError) as raised:
            apply_items(tmp_path / "layer", *[entry(f"{name}{n}/f") for n in range(40)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert re.search(r"caf\\udce9\\n", str(raised.value))
