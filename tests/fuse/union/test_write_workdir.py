"""The work directory: alone, clean, marked as overlayfs marks it."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path

import pytest

from snapfs.fuse.union.remove_tree import remove_tree
from snapfs.fuse.union.workdir import (
    WorkDirectory,
    open_work_directory,
    pinned_name,
)
from snapfs.syscalls import mount, umount2
from support.written_unions import Sandbox, build

pytestmark = pytest.mark.root


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "layers", lowers=1)


def _open(
    sandbox: Sandbox, *, is_volatile: bool = False, resumes: bool = False
) -> WorkDirectory:
    flags = os.O_PATH | os.O_DIRECTORY
    workdir, upper = os.open(sandbox.work, flags), os.open(sandbox.upper, flags)
    try:
        return open_work_directory(
            workdir, upper, is_volatile=is_volatile, resumes=resumes
        )
    finally:
        os.close(workdir)
        os.close(upper)


def test_nobody_has_access_to_the_inner_directory(sandbox: Sandbox) -> None:
    (sandbox.work / "work").mkdir(mode=0o777)

    _open(sandbox).close()

    assert stat.S_IMODE((sandbox.work / "work").stat().st_mode) == 0


def test_copies_inherit_no_acl_of_the_workdir(sandbox: Sandbox) -> None:
    everybody = 0xFFFFFFFF
    entries = ((1, 7, everybody), (2, 7, 1000), (4, 5, everybody))
    mask = ((16, 7, everybody), (32, 4, everybody))
    acl = b"\2\0\0\0" + b"".join(
        struct.pack("<HHI", *entry) for entry in (*entries, *mask)
    )
    os.setxattr(sandbox.work, "system.posix_acl_default", acl)
    build(sandbox.lowers[0], [("file", "f", b"data", 0o640), ("dir", "d", 0o750)])

    with sandbox.engine() as engine:
        engine.write("file", 0, b"DATA")
        engine.chmod("dir", 0o700)

    for name, mode in (("file", 0o640), ("dir", 0o700)):
        copy = sandbox.upper / name
        names = os.listxattr(copy)
        assert [name for name in names if name.startswith("system.")] == []
        assert stat.S_IMODE(copy.stat().st_mode) == mode


def test_a_second_writable_mount_of_one_upper_is_refused(sandbox: Sandbox) -> None:
    work = _open(sandbox)
    try:
        with pytest.raises(OSError, match="in use") as caught:
            _open(sandbox)
    finally:
        work.close()
    assert caught.value.errno == errno.EBUSY
    _open(sandbox).close()


def test_work_and_upper_on_different_mounts_are_refused(sandbox: Sandbox) -> None:
    mount(sandbox.work, sandbox.work, "", 4096)
    try:
        with pytest.raises(OSError, match="different mounts") as caught:
            _open(sandbox)
    finally:
        umount2(sandbox.work)
    assert caught.value.errno == errno.EINVAL


def test_junk_of_any_depth_is_removed_at_mount(sandbox: Sandbox) -> None:
    deep = sandbox.work / "work" / "#1" / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"junk")
    (sandbox.work / "work" / "#2").write_bytes(b"junk")
    (sandbox.work / "work" / "a" / "b" / "c").mkdir(parents=True)

    work = _open(sandbox)

    assert os.listdir(sandbox.work / "work") == []
    work.close()


def test_a_server_that_takes_over_finds_pinned_files(sandbox: Sandbox) -> None:
    inner = sandbox.work / "work"
    inner.mkdir()
    for name in (pinned_name(27), b"#t1b", b"#w3", b"#x1", b"other"):
        (inner / os.fsdecode(name)).write_bytes(b"data")

    work = _open(sandbox, resumes=True)

    assert os.listdir(inner) == ["#1b"]
    work.close()


@pytest.mark.parametrize("feature", ["redirects", "volatile"])
def test_an_unknown_feature_is_refused(sandbox: Sandbox, feature: str) -> None:
    (sandbox.work / "work" / "incompat" / feature).mkdir(parents=True)

    with pytest.raises(OSError, match=feature) as caught:
        _open(sandbox)

    assert caught.value.errno == errno.EINVAL
    assert (sandbox.work / "work" / "incompat" / feature).is_dir()


def test_a_volatile_mount_marks_the_workdir_for_the_kernel(sandbox: Sandbox) -> None:
    _open(sandbox, is_volatile=True).close()

    with pytest.raises(OSError, match="Invalid argument"), sandbox.mounted():
        pass


def test_a_volatile_mark_of_this_boot_is_accepted(sandbox: Sandbox) -> None:
    _open(sandbox, is_volatile=True).close()

    _open(sandbox, is_volatile=True).close()


def test_a_volatile_mark_of_another_boot_is_refused(sandbox: Sandbox) -> None:
    _open(sandbox, is_volatile=True).close()
    dirty = sandbox.work / "work" / "incompat" / "volatile" / "dirty"
    dirty.write_bytes(b"another boot\n")

    with pytest.raises(OSError, match="volatile"):
        _open(sandbox)


def test_whiteouts_are_links_of_one(sandbox: Sandbox) -> None:
    work = _open(sandbox)
    upper = os.open(sandbox.upper, os.O_PATH)

    for name in (b"a", b"b", b"c"):
        work.whiteout(upper, name)

    found = [(sandbox.upper / name).lstat() for name in "abc"]
    assert {status.st_ino for status in found} == {found[0].st_ino}
    assert found[0].st_nlink == 4
    assert stat.S_ISCHR(found[0].st_mode)
    assert found[0].st_rdev == 0
    work.close()
    os.close(upper)


def test_a_full_whiteout_is_replaced(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = _open(sandbox)
    upper = os.open(sandbox.upper, os.O_PATH)
    work.whiteout(upper, b"a")
    real_link = os.link
    refusals = [OSError(errno.EMLINK, "full")]

    def link(*args: object, **options: object) -> None:
        if refusals:
            raise refusals.pop()
        real_link(*args, **options)  # type: ignore[arg-type]  # as it was called

    monkeypatch.setattr(os, "link", link)
    for name in (b"b", b"c", b"d"):
        work.whiteout(upper, name)

    links = [(sandbox.upper / name).lstat().st_nlink for name in "abcd"]
    assert links == [1, 1, 3, 3]
    work.close()
    os.close(upper)


def test_without_hard_links_each_whiteout_is_made(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = _open(sandbox)
    upper = os.open(sandbox.upper, os.O_PATH)

    def link(*_args: object, **_options: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    for name in (b"a", b"b", b"c"):
        work.whiteout(upper, name)

    found = [(sandbox.upper / name).lstat() for name in "abc"]
    assert [status.st_nlink for status in found] == [1, 1, 1]
    assert all(stat.S_ISCHR(status.st_mode) for status in found)
    work.close()
    os.close(upper)


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH)
    fd = os.dup(root)
    for _ in range(120):
        os.mkdir(b"n" * 200, dir_fd=fd)
        below = os.open(b"n" * 200, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)

    remove_tree(root, b"n" * 200)

    assert os.listdir(tmp_path) == []
    os.close(root)
