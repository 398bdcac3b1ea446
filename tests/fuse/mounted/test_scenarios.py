"""Small programs of changes: the mount and kernel overlayfs end with the same tree."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs.file_syscalls import AT_FDCWD, link_descriptor
from snapfs.syscalls import RENAME_EXCHANGE, renameat2, umount2
from support.fuse_mounts import mounted_union

pytestmark = [pytest.mark.fuse, pytest.mark.root]

Described = dict[str, tuple[object, ...]]


def _layers(base: Path) -> tuple[list[Path], Path, Path, Path]:
    """Make two lowers with all kinds of things, and empty upper, work and merged."""
    high, low, upper, work, merged = (
        base / name for name in ("high", "low", "upper", "work", "merged")
    )
    for path in (high, low, upper, work, merged):
        path.mkdir(parents=True)
    (low / "file").write_text("low")
    (low / "hidden").write_text("hidden by a whiteout")
    (low / "both").write_text("low")
    (high / "both").write_text("high")
    (low / "tree" / "deep" / "er").mkdir(parents=True)
    (low / "tree" / "deep" / "leaf").write_text("leaf")
    (high / "tree").mkdir()
    (high / "tree" / "upper-leaf").write_text("upper leaf")
    (low / "opaque").mkdir()
    (low / "opaque" / "gone").write_text("gone")
    (high / "opaque").mkdir()
    os.setxattr(high / "opaque", "trusted.overlay.opaque", b"y")
    os.mknod(high / "hidden", stat.S_IFCHR, 0)
    (low / "link").symlink_to("file")
    os.link(low / "file", low / "second-name")
    os.mkfifo(low / "fifo")
    (low / "large").write_bytes(os.urandom(1 << 20) * 3)
    os.chown(low / "both", 1000, 1000)
    (low / "suid").write_text("suid")
    (low / "suid").chmod(0o4755)
    return [high, low], upper, work, merged


@contextmanager
def _kernel_mount(
    lowers: list[Path], upper: Path, work: Path, merged: Path
) -> Iterator[None]:
    words = f"lowerdir={':'.join(map(str, lowers))},upperdir={upper},workdir={work}"
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", words, merged], check=True
    )
    try:
        yield
    finally:
        umount2(merged)


def _describe(top: Path) -> Described:
    """Return all that callers see of a tree, but for times and inode numbers."""
    found: Described = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if kind == stat.S_IFREG:
            content = path.read_bytes()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)
        found[str(path.relative_to(top))] = (
            oct(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_nlink,
            status.st_rdev,
            status.st_size if kind == stat.S_IFREG else None,
            content,
            sorted(os.listxattr(path, follow_symlinks=False)),
        )
    return found


def _nothing(_top: Path) -> None:
    return


def _write(top: Path) -> None:
    (top / "file").write_text("changed")
    with (top / "both").open("a") as file:
        file.write(" more")
    (top / "new").write_text("new")
    (top / "tree" / "deep" / "leaf").write_text("changed")
    os.truncate(top / "large", 5000)
    (top / "suid").write_text("no longer")


def _remove(top: Path) -> None:
    (top / "file").unlink()
    (top / "both").unlink()
    shutil.rmtree(top / "tree")
    shutil.rmtree(top / "opaque")
    (top / "fifo").unlink()
    (top / "tree").mkdir()
    (top / "both").symlink_to("elsewhere")


def _move(top: Path) -> None:
    (top / "file").rename(top / "tree" / "file")
    (top / "new").mkdir()
    (top / "new").rename(top / "opaque" / "new")
    (top / "both").replace(top / "large")
    (top / "hidden").write_text("new")
    (top / "hidden").rename(top / "second-name")
    os.link(top / "link", top / "link-again", follow_symlinks=False)
    os.link(top / "suid", top / "suid-again")


def _change_attributes(top: Path) -> None:
    (top / "file").chmod(0o600)
    os.chown(top / "tree" / "deep", 7, 8)
    os.utime(top / "both", ns=(1, 2))
    os.setxattr(top / "large", "user.note", b"set")
    os.chown(top / "link", 5, 6, follow_symlinks=False)
    (top / "fifo").chmod(0o640)
    os.chown(top / "suid", 9, 9)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_nothing, id="nothing"),
        pytest.param(_write, id="write"),
        pytest.param(_remove, id="remove"),
        pytest.param(_move, id="move"),
        pytest.param(_change_attributes, id="attributes"),
    ],
)
def test_the_mount_shows_what_kernel_overlayfs_shows(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    lowers, upper, work, merged = _layers(tmp_path / "layers")
    kernel_upper, kernel_work, kernel_merged = (
        tmp_path / name for name in ("kernel-upper", "kernel-work", "kernel-merged")
    )
    for path in (kernel_upper, kernel_work, kernel_merged):
        path.mkdir()
    before = [_describe(lower) for lower in lowers]

    with _kernel_mount(lowers, kernel_upper, kernel_work, kernel_merged):
        change(kernel_merged)
        expected = _describe(kernel_merged)
    with mounted_union(lowers, upper, work, merged):
        change(merged)
        found = _describe(merged)
    with mounted_union(lowers, upper, work, merged, ["ro"]):
        found_again = _describe(merged)
    with _kernel_mount(lowers, upper, work, merged):
        by_kernel = _describe(merged)

    assert found == expected
    assert found_again == expected
    assert by_kernel == expected
    assert [_describe(lower) for lower in lowers] == before


def test_owners_are_mapped_both_ways(tmp_path: Path) -> None:
    lowers, upper, work, merged = _layers(tmp_path)

    with mounted_union(
        lowers, upper, work, merged, ["uidmapping=0:5000:2000,gidmapping=0:6000:2000"]
    ):
        shown = (merged / "both").stat()
        os.chown(merged / "file", 5003, 6004)

    stored = (upper / "file").stat()
    assert (shown.st_uid, shown.st_gid) == (5000, 6000)
    assert (stored.st_uid, stored.st_gid) == (3, 4)


def test_squashing_shows_one_owner(tmp_path: Path) -> None:
    lowers, _, _, merged = _layers(tmp_path)

    with mounted_union(lowers, None, None, merged, ["squash_to_uid=7,squash_to_gid=8"]):
        owners = {
            (path.lstat().st_uid, path.lstat().st_gid) for path in merged.rglob("*")
        }

    assert owners == {(7, 8)}


def test_without_an_upperdir_nothing_can_be_changed(tmp_path: Path) -> None:
    lowers, _, _, merged = _layers(tmp_path)

    with mounted_union(lowers, None, None, merged):
        for change in (
            lambda: (merged / "new").write_text("x"),
            lambda: (merged / "file").unlink(),
            lambda: (merged / "file").chmod(0o600),
        ):
            with pytest.raises(OSError, match="Read-only"):
                change()


def test_a_file_without_a_name_can_be_given_one(tmp_path: Path) -> None:
    lowers, upper, work, merged = _layers(tmp_path)

    with mounted_union(lowers, upper, work, merged):
        fd = os.open(merged, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.write(fd, b"data")
        link_descriptor(fd, AT_FDCWD, bytes(merged / "named"))
        os.close(fd)
        content = (merged / "named").read_text()

    assert content == "data"
    assert (upper / "named").read_text() == "data"


def test_an_open_file_outlives_its_name(tmp_path: Path) -> None:
    lowers, upper, work, merged = _layers(tmp_path)

    with (
        mounted_union(lowers, upper, work, merged),
        (merged / "file").open() as lower,
        (merged / "new").open("w+") as new,
    ):
        (merged / "file").unlink()
        (merged / "new").unlink()
        new.write("still here")
        new.seek(0)
        contents = lower.read(), new.read()

    assert contents == ("low", "still here")
    assert os.listdir(work / "work") == []


def test_data_is_copied_between_files_and_holes_are_found(tmp_path: Path) -> None:
    lowers, upper, work, merged = _layers(tmp_path)

    with mounted_union(lowers, upper, work, merged):
        with (merged / "large").open("rb") as source, (merged / "to").open("wb") as to:
            copied = os.copy_file_range(source.fileno(), to.fileno(), 1 << 20)
            os.posix_fallocate(to.fileno(), 0, 4096)
            os.truncate(to.fileno(), 8 << 20)
            hole = os.lseek(to.fileno(), 0, os.SEEK_HOLE)
            os.fsync(to.fileno())
        head = (merged / "to").read_bytes()[: 1 << 20]

    assert copied == 1 << 20
    assert hole == 1 << 20
    assert head == (lowers[1] / "large").read_bytes()[: 1 << 20]


@pytest.mark.parametrize("mode", ["fast", "io"])
def test_an_exchange_that_is_refused_copies_nothing_up(
    tmp_path: Path, mode: str
) -> None:
    lowers, upper, work, merged = _layers(tmp_path)
    options = (f"mode={mode}", "redirect_dir=off")
    with mounted_union(lowers, upper, work, merged, options):
        (merged / "tree").stat()

        with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
            renameat2(merged / "file", merged / "tree", RENAME_EXCHANGE)

        assert (merged / "file").stat().st_nlink == 2
    assert list(upper.iterdir()) == []
