"""Copy-up: whole or not at all, with all that the lower object has."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.union import file_data
from snapfs.fuse.union.node import PINNED, Directory
from snapfs.syscalls import mount, umount2
from support.engine_tree import EngineTree
from support.kernel_tree import KernelTree, result_of
from support.written_unions import OLD_NS, Sandbox, build, make_old, raw_state

pytestmark = pytest.mark.root

MIB = 1 << 20
_LARGE = bytes(range(256)) * 4096 * 3


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    lower = sandbox.lowers[0]
    build(
        lower,
        [
            ("dir/sub/large", "f", _LARGE),
            ("dir/sub/small", "f", b"small"),
            ("dir/hard1", "f", b"hard"),
            ("dir/hard2", "h", "dir/hard1"),
            ("dir/link", "l", "small"),
            ("dir/fifo", "p"),
        ],
    )
    with open(lower / "sparse", "wb") as file:
        file.truncate(64 * MIB)
        file.seek(20 * MIB)
        file.write(b"x" * MIB)
    os.setxattr(lower / "dir/sub/large", "user.name", b"value")
    make_old(lower)
    return sandbox


@pytest.fixture
def engine(sandbox: Sandbox) -> Iterator[EngineTree]:
    with sandbox.engine() as engine:
        yield engine


def _marks(root: Path) -> dict[str, dict[str, bytes]]:
    """The marks below the upper's root, on which the kernel writes its own UUID."""
    found = {}
    for above, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(above, name)
            names = os.listxattr(path, follow_symlinks=False)
            found[os.path.relpath(path, root)] = {
                name: os.getxattr(path, name, follow_symlinks=False) for name in names
            }
    return found


def test_marks_are_those_that_the_kernel_writes(tmp_path: Path) -> None:
    # One lower for both, since an origin names its inode.
    ours, oracle = Sandbox(tmp_path / "ours", 1), Sandbox(tmp_path / "kernel", 1)
    build(ours.lowers[0], [("d/e/f", "f"), ("d/h", "f"), ("d/i", "h", "d/h")])
    build(ours.lowers[0], [("d/l", "l", "x"), ("d/p", "p"), ("m/x/y", "f")])
    oracle.lowers = ours.lowers
    changes = [
        ("chmod", "d/e/f", 0o600),
        ("chmod", "d/h", 0o600),
        ("chown", "d/l", 1, 1),
        ("chmod", "d/p", 0o600),
        ("rename", "m/x", "moved"),
        ("rename", "d", "e"),
    ]
    with oracle.mounted() as merged:
        kernel = KernelTree(merged)
        assert [result_of(kernel, change) for change in changes] == [None] * 6

    with ours.engine() as engine:
        assert [result_of(engine, change) for change in changes] == [None] * 6

    assert _marks(ours.upper) == _marks(oracle.upper)


def test_inode_numbers_stay_also_when_the_kernel_mounts(sandbox: Sandbox) -> None:
    paths = ("dir", "dir/sub", "dir/sub/small", "dir/sub/large", "dir/link")
    with sandbox.engine() as engine:
        before = [engine.union.status(engine.node(path))[1] for path in paths]
        for path in paths:
            engine.chown(path, 3, 4)
        after = [engine.union.status(engine.node(path))[1] for path in paths]
    with sandbox.engine() as engine:
        again = [engine.union.status(engine.node(path))[1] for path in paths]
    with sandbox.mounted() as merged:
        mounted = [os.lstat(merged / path).st_ino for path in paths]

    assert before == after == again == mounted


def test_parents_keep_their_times(sandbox: Sandbox, engine: EngineTree) -> None:
    engine.chmod("dir/sub/small", 0o600)

    for path in ("", "dir", "dir/sub"):
        status = os.stat(sandbox.upper / path)
        if path:
            assert (status.st_mtime_ns, status.st_atime_ns) == (OLD_NS, OLD_NS)
    assert os.stat(sandbox.upper / "dir/sub/small").st_mtime_ns == OLD_NS


def test_holes_stay_holes(sandbox: Sandbox, engine: EngineTree) -> None:
    engine.chmod("sparse", 0o600)

    copied = sandbox.upper / "sparse"
    assert os.stat(copied).st_size == 64 * MIB
    assert os.stat(copied).st_blocks * 512 < 2 * MIB
    assert copied.read_bytes() == (sandbox.lowers[0] / "sparse").read_bytes()


def test_a_name_of_a_hard_link_becomes_a_file_of_its_own(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    engine.write("dir/hard1", 0, b"HARD")

    assert engine.read("dir/hard2") == b"hard"
    assert engine.nlink("dir/hard1") == 1
    assert "trusted.overlay.origin" not in os.listxattr(sandbox.upper / "dir/hard1")


def test_only_large_lower_files_need_a_worker(engine: EngineTree) -> None:
    large = engine.node("dir/sub/large")

    assert engine.changes.needs_worker(large)
    assert not engine.changes.needs_worker(engine.node("dir/sub/small"))
    assert not engine.changes.needs_worker(engine.node("dir"))
    engine.chmod("dir/sub/large", 0o600)
    assert not engine.changes.needs_worker(large)


def test_a_file_renamed_while_it_is_copied_is_published_once(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    node = engine.node("dir/sub/large")
    copy = engine.changes.copy_up.begin(node)
    assert copy is not None
    copy.copy(lambda: False)
    engine.rename("dir/sub/large", "dir/elsewhere")
    copy.publish()
    copy.abandon()

    assert engine.changes.data.read(node, 0, len(_LARGE)) == _LARGE
    assert sorted(os.listdir(sandbox.upper / "dir")) == ["elsewhere", "sub"]
    assert os.lstat(sandbox.upper / "dir/sub/large").st_rdev == 0


def test_a_parent_renamed_while_a_file_is_copied_has_the_copy(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    node = engine.node("dir/sub/large")
    copy = engine.changes.copy_up.begin(node)
    assert copy is not None
    engine.rename("dir/sub", "moved")
    copy.copy(lambda: False)
    copy.publish()
    copy.abandon()

    assert (sandbox.upper / "moved/large").read_bytes() == _LARGE
    assert engine.read("moved/large") == _LARGE


def test_a_file_unlinked_while_it_is_copied_stays_for_its_users(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    node = engine.node("dir/sub/large")
    copy = engine.changes.copy_up.begin(node)
    assert copy is not None
    engine.unlink("dir/sub/large")
    copy.copy(lambda: False)
    copy.publish()
    copy.abandon()

    assert node.flags & PINNED
    engine.changes.data.write(node, 0, b"changed")
    assert engine.changes.data.read(node, 0, 9) == b"changed\x07\x08"
    assert engine.union.status(node)[2] == 0
    assert stat.S_ISCHR(os.lstat(sandbox.upper / "dir/sub/large").st_mode)
    engine.union.nodes.forget(node.nodeid, node.lookups)
    assert not [n for n in os.listdir(sandbox.work / "work") if n[:2] not in ("#w",)]


def test_an_interrupted_copy_leaves_nothing(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    copy = engine.changes.copy_up.begin(engine.node("dir/sub/large"))
    assert copy is not None
    with pytest.raises(InterruptedError) as caught:
        copy.copy(lambda: True)
    copy.abandon()

    assert caught.value.errno == errno.EINTR
    assert os.listdir(sandbox.upper / "dir/sub") == []
    assert os.listdir(sandbox.work / "work") == []


@pytest.mark.parametrize("has_tmpfile", [True, False])
def test_a_server_killed_during_a_copy_leaves_nothing(
    sandbox: Sandbox, has_tmpfile: bool
) -> None:
    child = os.fork()
    if not child:
        _be_killed_during_a_copy(sandbox, has_tmpfile=has_tmpfile)
    _, result = os.waitpid(child, 0)
    assert os.WTERMSIG(result) == signal.SIGKILL
    assert bool(os.listdir(sandbox.work / "work")) != has_tmpfile

    with sandbox.engine() as engine:
        assert os.listdir(sandbox.work / "work") == []
        assert os.listdir(sandbox.upper / "dir/sub") == []
        assert engine.read("dir/sub/large") == _LARGE
        engine.chmod("dir/sub/large", 0o600)
        assert engine.read("dir/sub/large") == _LARGE


def _be_killed_during_a_copy(sandbox: Sandbox, *, has_tmpfile: bool) -> None:
    try:
        engine = EngineTree(sandbox.upper, sandbox.work, sandbox.lowers)
        engine.changes.copy_up.work._has_tmpfile = has_tmpfile
        copy = engine.changes.copy_up.begin(engine.node("dir/sub/large"))
        assert copy is not None
        os.pwrite(copy._target_fd, b"half", 0)

        def be_killed() -> bool:
            os.kill(os.getpid(), signal.SIGKILL)
            return False

        copy.copy(be_killed)
    finally:
        os._exit(1)


def test_without_unnamed_files_a_copy_is_renamed_into_place(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    engine.changes.copy_up.work._has_tmpfile = False

    engine.chmod("dir/sub/large", 0o640)

    assert (sandbox.upper / "dir/sub/large").read_bytes() == _LARGE
    assert os.getxattr(sandbox.upper / "dir/sub/large", "user.name") == b"value"
    assert os.listdir(sandbox.work / "work") == []


def test_a_lower_file_cannot_be_opened_for_writing(engine: EngineTree) -> None:
    node = engine.node("dir/sub/small")

    with pytest.raises(OSError, match="lower file") as caught:
        engine.changes.data._open_upper(node)

    assert caught.value.errno == errno.EIO


def test_a_full_upper_keeps_nothing_of_a_copy(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "layers", 1)
    build(sandbox.lowers[0], [("dir/large", "f", _LARGE), ("dir/other", "f")])
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", disk, "tmpfs", 0, b"size=2m")
    try:
        sandbox.upper, sandbox.work = disk / "upper", disk / "work"
        sandbox.upper.mkdir()
        sandbox.work.mkdir()
        with sandbox.engine() as engine:
            assert result_of(engine, ("chmod", "dir/large", 0o600)) == "ENOSPC"
            assert result_of(engine, ("write", "dir/large", 0, b"x")) == "ENOSPC"
            assert os.listdir(sandbox.upper / "dir") == []
            assert os.listdir(sandbox.work / "work") == []
            assert result_of(engine, ("truncate", "dir/large", 3)) is None
            assert engine.read("dir/large") == _LARGE[:3]
            assert result_of(engine, ("create", "dir/other2")) is None
    finally:
        umount2(disk)


def test_a_read_only_union_refuses_every_change(sandbox: Sandbox) -> None:
    before = raw_state(sandbox.root)
    with sandbox.engine() as other:
        assert result_of(other, ("read", "dir/sub/small")) == b"small"
    with sandbox.engine(is_readonly=True) as engine:
        for change in (
            ("create", "new"),
            ("mkdir", "new"),
            ("symlink", "new", "x"),
            ("link", "dir/hard1", "new"),
            ("tmpfile", "dir", "new", 0o600, b""),
            ("unlink", "dir/hard1"),
            ("rmdir", "dir"),
            ("rename", "dir", "new"),
            ("chmod", "dir/hard1", 0o600),
            ("truncate", "dir/hard1", 0),
            ("write", "dir/hard1", 0, b"x"),
            ("allocate", "dir/hard1", 0, 0, 9),
            ("setxattr", "dir", "user.x", b""),
            ("removexattr", "dir", "user.x"),
        ):
            assert result_of(engine, change) == "EROFS", change
    after = raw_state(sandbox.root)
    lowers = str(sandbox.lowers[0])
    assert {k: v for k, v in after.items() if k.startswith(lowers)} == {
        k: v for k, v in before.items() if k.startswith(lowers)
    }


def test_a_volatile_union_syncs_nothing(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    monkeypatch.setattr(os, "fdatasync", calls.append)
    monkeypatch.setattr(file_data, "has_ordered_journal", lambda _layer: False)

    with sandbox.engine(is_volatile=True) as engine:
        engine.chmod("dir/sub/small", 0o600)
        engine.changes.data.sync(engine.node("dir/sub/small"))
        assert calls == []
    (sandbox.work / "work/incompat/volatile/dirty").unlink()
    (sandbox.work / "work/incompat/volatile").rmdir()
    with sandbox.engine() as engine:
        engine.write("dir/sub/large", 0, b"x")
        copied = len(calls)
        engine.changes.data.sync(engine.node("dir/sub/large"), is_data_only=True)
        engine.changes.data.sync(engine.node("dir"))
        engine.changes.data.sync(engine.node("dir/hard1"))
        assert (copied, len(calls)) == (1, 3)


def test_a_metacopy_file_is_completed_before_its_data_changes(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "layers", 1)
    build(sandbox.lowers[0], [(name, "f", _LARGE) for name in "abcd"])
    with sandbox.mounted("metacopy=on") as merged:
        for name in "abcd":
            os.chmod(merged / name, 0o4755)
    assert os.stat(sandbox.upper / "a").st_blocks < 100

    with sandbox.engine() as engine:
        engine.write("a", 1, b"new")
        engine.rename("b", "renamed")
        engine.link("c", "linked")
        engine.chmod("d", 0o4700)
        assert engine.read("a") == _LARGE[:1] + b"new" + _LARGE[4:]
        assert engine.read("d") == _LARGE

    with sandbox.mounted("metacopy=on") as merged:
        assert (merged / "renamed").read_bytes() == _LARGE
        assert (merged / "linked").read_bytes() == _LARGE
        assert (merged / "d").read_bytes() == _LARGE
        assert (merged / "a").read_bytes() == _LARGE[:1] + b"new" + _LARGE[4:]
        assert os.stat(merged / "renamed").st_mtime_ns == OLD_NS


def test_an_immutable_lower_file_is_not_changed(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "layers", 1)
    build(sandbox.lowers[0], [("file", "f")])
    fd = os.open(sandbox.lowers[0] / "file", os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, (0x10).to_bytes(8, "little"))
    try:
        with sandbox.engine() as engine:
            assert result_of(engine, ("chmod", "file", 0o600)) == "EPERM"
            assert result_of(engine, ("write", "file", 0, b"x")) == "EPERM"
    finally:
        fcntl.ioctl(fd, 0x40086602, bytes(8))
        os.close(fd)
    assert os.listdir(sandbox.upper) == []


def test_a_file_from_another_filesystem_is_copied(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "layers", 1)
    mount("tmpfs", sandbox.lowers[0], "tmpfs", 0, b"size=32m")
    try:
        build(sandbox.lowers[0], [("large", "f", _LARGE), ("small", "f")])
        with open(sandbox.lowers[0] / "sparse", "wb") as file:
            file.truncate(9 * MIB)
            file.seek(MIB)
            file.write(b"data")
        with sandbox.engine() as engine:
            for name in ("large", "small", "sparse"):
                engine.chmod(name, 0o600)
        for name in ("large", "small", "sparse"):
            expected = (sandbox.lowers[0] / name).read_bytes()
            assert (sandbox.upper / name).read_bytes() == expected
        assert os.stat(sandbox.upper / "sparse").st_blocks < 100
    finally:
        umount2(sandbox.lowers[0])


def test_a_directory_that_was_removed_takes_no_entries(engine: EngineTree) -> None:
    engine.mkdir("new")
    directory = engine.node("new")
    assert isinstance(directory, Directory)
    engine.rmdir("new")

    with pytest.raises(FileNotFoundError):
        engine.changes.make_directory(directory, b"x", 0o755, engine.caller)
    assert engine.union.status(directory)[2] == 0
