"""What each kind of entry becomes on disk, with every attribute."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import UnsafeLayerError
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from support.applied_layers import (
    MTIME,
    apply_items,
    apply_tar,
    directory,
    entry,
    hard_link,
    symlink,
    tar_of,
)

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
OTHERS = (1234, 5678)


def acl(group_permissions: int) -> bytes:
    """Return an ACL of version 2: rwx for user 1000, the rest as the mode 0640."""
    entries = (
        (1, 6, -1),
        (2, 7, 1000),
        (4, 4, -1),
        (16, group_permissions, -1),
        (32, 0, -1),
    )
    packed = (struct.pack("<HHi", *fields) for fields in entries)
    return struct.pack("<I", 2) + b"".join(packed)


@pytest.fixture(params=[0, 0o077], ids=["no umask", "umask 077"], autouse=True)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    return tmp_path / "layer"


@pytest.mark.root
@pytest.mark.parametrize(
    "mode", [0, 0o444, 0o644, 0o777, 0o1755, 0o2755, 0o4755, 0o6711, 0o7777]
)
@pytest.mark.parametrize("owner", [(0, 0), OTHERS], ids=["root", "others"])
def test_a_file_has_its_mode_owner_content_and_time(
    layer: Path, mode: int, owner: tuple[int, int]
) -> None:
    apply_items(layer, entry("f", b"content", mode=mode, owner=owner))

    status = (layer / "f").stat()
    assert stat.S_IMODE(status.st_mode) == mode
    assert (status.st_uid, status.st_gid) == owner
    assert (layer / "f").read_bytes() == b"content"
    assert status.st_mtime_ns == status.st_atime_ns == MTIME * 10**9


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("1500000000.123456789", 1500000000123456789, id="ns"),
        pytest.param("-12.5", -12500000000, id="before 1970"),
        pytest.param("0", 0, id="epoch"),
    ],
)
def test_times_are_kept_to_the_nanosecond(
    layer: Path, written: str, expected: int
) -> None:
    apply_items(
        layer,
        directory("d", mtime=written),
        entry("d/f", mtime=written),
        symlink("d/l", "f", mtime=written),
        entry("d/p", type_=tarfile.FIFOTYPE, mtime=written),
    )

    for name in ("d", "d/f", "d/l", "d/p"):
        assert (layer / name).lstat().st_mtime_ns == expected, name


@pytest.mark.root
def test_every_kind_of_object_is_made(layer: Path) -> None:
    apply_items(
        layer,
        directory("d", 0o3751, owner=OTHERS),
        symlink("d/l", "/nowhere/at/all", owner=OTHERS),
        entry("d/p", type_=tarfile.FIFOTYPE, mode=0o620, owner=OTHERS),
        entry("d/c", type_=tarfile.CHRTYPE, mode=0o666, device=(1, 3), owner=OTHERS),
        entry("d/b", type_=tarfile.BLKTYPE, mode=0o660, device=(7, 0)),
        entry("d/empty", owner=OTHERS),
        hard_link("d/again", "d/empty"),
    )

    status = {p.name: p.lstat() for p in (layer / "d").iterdir()}
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o3751
    assert os.readlink(layer / "d/l") == "/nowhere/at/all"
    assert [oct(status[n].st_mode) for n in ("p", "c", "b")] == [
        oct(stat.S_IFIFO | 0o620),
        oct(stat.S_IFCHR | 0o666),
        oct(stat.S_IFBLK | 0o660),
    ]
    assert status["c"].st_rdev == os.makedev(1, 3)
    assert status["b"].st_rdev == os.makedev(7, 0)
    for name in ("l", "p", "c", "empty"):
        assert (status[name].st_uid, status[name].st_gid) == OTHERS, name
    assert status["again"].st_ino == status["empty"].st_ino


@pytest.mark.root
def test_attributes_are_set_in_an_order_that_keeps_them_all(layer: Path) -> None:
    xattrs = {
        "security.capability": CAPABILITY,
        "user.note": b"binary \xff and long",
        "system.posix_acl_access": acl(7),
    }

    apply_items(layer, entry("f", b"x", mode=0o6670, owner=OTHERS, xattrs=xattrs))

    assert {name: os.getxattr(layer / "f", name) for name in xattrs} == xattrs
    assert stat.S_IMODE((layer / "f").stat().st_mode) == 0o6670
    assert (layer / "f").stat().st_mtime_ns == MTIME * 10**9


@pytest.mark.root
def test_children_inherit_neither_default_acl_nor_group(layer: Path) -> None:
    default = {"system.posix_acl_default": acl(7)}

    apply_items(
        layer,
        directory("d", 0o2770, owner=OTHERS, xattrs=default),
        entry("d/f"),
        directory("d/sub"),
        symlink("d/l", "x"),
    )

    assert os.listxattr(layer / "d") == ["system.posix_acl_default"]
    assert os.listxattr(layer / "d/f") == os.listxattr(layer / "d/sub") == []
    assert {p.lstat().st_gid for p in (layer / "d").iterdir()} == {0}
    assert stat.S_IMODE((layer / "d/sub").stat().st_mode) == 0o755


@pytest.mark.root
def test_a_staging_directory_that_passes_things_on_does_not(layer: Path) -> None:
    layer.parent.chmod(0o2700)
    os.chown(layer.parent, -1, 4321)
    os.setxattr(layer.parent, "system.posix_acl_default", acl(7))

    apply_items(layer, entry("f"), directory("d"))

    for name in ("f", "d"):
        assert (layer / name).stat().st_gid == 0
        assert os.listxattr(layer / name) == []


def test_directories_have_the_last_attributes_and_their_own_times(layer: Path) -> None:
    apply_items(
        layer,
        directory("d", 0o700, mtime=1),
        directory("d/closed", 0o000, mtime=2),
        entry("d/closed/f", b"x"),
        directory("./d/", 0o555, mtime=3),
        directory("./", 0o711, mtime=4),
    )

    found = [layer.stat(), (layer / "d").stat(), (layer / "d/closed").stat()]
    assert [stat.S_IMODE(s.st_mode) for s in found] == [0o711, 0o555, 0]
    assert [s.st_mtime for s in found] == [4, 3, 2]
    (layer / "d/closed").chmod(0o700)


def test_implied_directories_are_0755(layer: Path) -> None:
    apply_items(layer, entry("a/b/f"))

    modes = [stat.S_IMODE((layer / n).stat().st_mode) for n in (".", "a", "a/b")]
    assert modes == [0o755] * 3


@pytest.mark.parametrize("block_bytes", [1000, 1 << 20])
def test_bodies_of_any_size_arrive_whole(layer: Path, block_bytes: int) -> None:
    sizes = (0, 1, 511, 512, 513, 999, 1 << 20, (3 << 20) + 7)
    bodies = {f"f{size}": os.urandom(size) for size in sizes}

    apply_tar(
        layer,
        tar_of([entry(name, body) for name, body in bodies.items()]),
        block_bytes=block_bytes,
    )

    assert {p.name: p.read_bytes() for p in layer.iterdir()} == bodies


@pytest.mark.parametrize("tar_format", ["gnu", "pax"])
def test_sparse_files_stay_sparse(layer: Path, tmp_path: Path, tar_format: str) -> None:
    size = 64 << 20
    source = tmp_path / "holes"
    with source.open("wb") as file:
        for offset in (1 << 20, 9 << 20, 40 << 20):
            os.pwrite(file.fileno(), os.urandom(70000), offset)
        file.truncate(size)
    command = ["tar", "-S", f"--format={tar_format}", "-cf-", "holes"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    data = done.stdout

    apply_tar(layer, data)

    assert (layer / "holes").read_bytes() == source.read_bytes()
    assert (layer / "holes").stat().st_blocks * 512 < 1 << 20


def test_the_last_entry_of_a_name_wins(layer: Path) -> None:
    apply_items(
        layer,
        directory("x"),
        entry("x/y/deep", b"old"),
        symlink("x", "z"),
        directory("z"),
        entry("x/through", b"followed in memory"),
        entry("x", b"file"),
        directory("x"),
        entry("x/new", b"new"),
        entry("z/through", b"second"),
    )

    assert sorted(str(p.relative_to(layer)) for p in layer.rglob("*")) == [
        "x",
        "x/new",
        "z",
        "z/through",
    ]
    assert (layer / "z/through").read_bytes() == b"second"


def test_a_replaced_file_lives_on_under_its_other_names(layer: Path) -> None:
    apply_items(layer, entry("a", b"old"), hard_link("b", "a"), entry("a", b"new"))

    assert (layer / "a").read_bytes() == b"new"
    assert (layer / "b").read_bytes() == b"old"
    assert (layer / "b").stat().st_nlink == 1


def test_a_link_to_a_symlink_is_that_symlink_and_changes_nothing(
    layer: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"safe")
    victim.chmod(0o600)
    before = victim.stat().st_ino, victim.stat().st_ctime_ns

    apply_items(
        layer,
        symlink("l", str(victim)),
        hard_link("h", "l", mode=0o777, owner=OTHERS, mtime=1),
    )

    assert os.readlink(layer / "h") == str(victim)
    assert (layer / "h").lstat().st_ino == (layer / "l").lstat().st_ino
    assert (victim.stat().st_ino, victim.stat().st_ctime_ns) == before


def test_writing_through_a_swapped_directory_stays_inside(
    layer: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    apply_items(
        layer,
        directory("d"),
        entry("d/one"),
        symlink("d", str(outside)),
        entry("d/two", b"x"),
    )

    assert list(outside.iterdir()) == []
    assert (layer / str(outside).lstrip("/") / "two").read_bytes() == b"x"


def test_paths_longer_than_path_max_and_deeper_than_open_files(layer: Path) -> None:
    deep = "/".join(["directory"] * 900)

    apply_items(layer, entry(f"{deep}/f", b"x"), entry("g"), entry(f"{deep}/h", b"y"))

    listed = subprocess.run(
        ["find", "."], cwd=layer, check=True, capture_output=True, text=True
    ).stdout.split()
    assert f"./{deep}/f" in listed
    assert f"./{deep}/h" in listed
    subprocess.run(["rm", "-rf", layer], check=True)


@pytest.mark.root
def test_marks_of_overlayfs_are_never_stored_raw(layer: Path) -> None:
    xattrs = {"trusted.overlay.opaque": b"y", "user.overlay.redirect": b"/etc"}

    applied = apply_items(
        layer, directory("d", xattrs=xattrs), entry("f", xattrs=xattrs)
    )

    for name in ("d", "f"):
        assert os.listxattr(layer / name) == ["trusted.overlay.overlay.opaque"]
    assert any("user.overlay.redirect" in line for line in applied.warnings)


def test_what_the_policy_does_not_keep_is_left_out_with_a_warning(layer: Path) -> None:
    applied = apply_items(
        layer, *(entry(f"f{n}", xattrs={"security.selinux": b"l"}) for n in range(3))
    )

    assert os.listxattr(layer / "f0") == []
    assert any("security.selinux" in w and "3 times" in w for w in applied.warnings)


def test_user_attributes_of_symlinks_are_left_out(layer: Path) -> None:
    applied = apply_items(layer, symlink("l", "x", xattrs={"user.a": b"1"}))

    assert os.readlink(layer / "l") == "x"
    assert any("user.a" in line for line in applied.warnings)


def test_set_id_bits_are_stripped_from_files_on_demand(layer: Path) -> None:
    policy = Policy(setuid=SetuidPolicy.STRIP)

    apply_items(layer, entry("f", b"x", mode=0o6755), policy=policy)

    assert stat.S_IMODE((layer / "f").stat().st_mode) == 0o755


@pytest.mark.parametrize("policy", [DevicePolicy.SKIP, DevicePolicy.PLACEHOLDER])
def test_devices_are_left_out_or_replaced_on_demand(
    layer: Path, policy: DevicePolicy
) -> None:
    applied = apply_items(
        layer,
        entry("c", type_=tarfile.CHRTYPE, mode=0o620, device=(1, 3)),
        hard_link("h", "c"),
        entry("c2", type_=tarfile.BLKTYPE, device=(1, 3)),
        entry("c2", b"file instead"),
        policy=Policy(devices=policy),
    )

    kept = {p.name: p.lstat() for p in layer.iterdir()}
    if policy is DevicePolicy.SKIP:
        assert kept.keys() == {"c2"}
    else:
        assert kept.keys() == {"c", "h", "c2"}
        assert kept["c"].st_mode == stat.S_IFREG | 0o620
    assert (layer / "c2").read_bytes() == b"file instead"
    assert any("device" in line for line in applied.warnings)


def test_what_follows_the_tar_is_told(layer: Path) -> None:
    data = tar_of([entry("f")])

    applied = apply_tar(layer, data + b"junk")

    assert applied.plain_bytes == len(data) + 4
    assert any("followed by" in line for line in applied.warnings)


def test_progress_ends_with_all_entries(tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    data = tar_of([entry(f"f{n}") for n in range(1200)])
    staging = tmp_path / "layer"

    apply_tar(staging, data, progress=lambda *numbers: reports.append(numbers))

    assert [entries for entries, _ in reports] == [512, 1024, 1200]
    assert reports[-1][1] == len(data)


def test_a_fake_whiteout_is_refused(layer: Path) -> None:
    with pytest.raises(UnsafeLayerError, match="fake"):
        apply_items(layer, entry("fake", type_=tarfile.CHRTYPE, device=(0, 0)))
