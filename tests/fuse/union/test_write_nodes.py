"""Changes and those who hold what is changed: open files, hard links, descriptors."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.file_syscalls import UTIME_NOW
from snapfs.fuse.union.acl import DEFAULT
from snapfs.fuse.union.attributes import SetAttributes
from snapfs.fuse.union.caller import Caller
from snapfs.fuse.union.identity import Identity
from snapfs.fuse.union.node import PINNED, PLAIN, Directory
from snapfs.overlay_format import XattrPrefix
from support.engine_tree import EngineTree
from support.kernel_tree import result_of
from support.written_unions import OLD_NS, Sandbox, build

pytestmark = pytest.mark.root

# rwx for the owner, r-x for the group and the others: tag, permissions, no identity.
_ACL = struct.pack("<I" + 3 * "HHI", 2, 1, 7, 0, 4, 5, 0, 32, 5, 0)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    sandbox = Sandbox(tmp_path / "layers", lowers=1)
    build(sandbox.lowers[0], [("dir/file", "f", b"lower"), ("dir/link", "l", "file")])
    return sandbox


@pytest.fixture
def engine(sandbox: Sandbox) -> Iterator[EngineTree]:
    with sandbox.engine() as engine:
        yield engine


def _pinned(sandbox: Sandbox) -> list[str]:
    return [n for n in os.listdir(sandbox.work / "work") if not n.startswith("#w")]


def test_an_unlinked_file_is_kept_until_it_is_forgotten(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    engine.create("dir/new")
    engine.write("dir/new", 0, b"data")
    node = engine.node("dir/new")
    engine.unlink("dir/new")
    engine.create("dir/new")

    assert engine.changes.data.read(node, 0, 9) == b"data"
    assert engine.changes.data.write(node, 4, b"more") == 4
    engine.changes.set_attributes(node, SetAttributes(mode=0o600), engine.caller)
    engine.changes.set_xattr(node, b"user.a", b"b")
    status, _, nlink = engine.union.status(node)
    assert (status.st_size, nlink, stat.S_IMODE(status.st_mode)) == (8, 0, 0o600)
    assert engine.read("dir/new") == b""
    assert _pinned(sandbox) == [f"#{node.nodeid:x}"]
    engine.union.nodes.forget(node.nodeid, node.lookups)
    assert _pinned(sandbox) == []


def test_a_removed_directory_is_reached_until_it_is_forgotten(
    sandbox: Sandbox,
) -> None:
    with sandbox.engine(descriptor_limit=1) as engine:
        engine.mkdir("dir/gone")
        node = engine.node("dir/gone")
        engine.changes.set_xattr(node, b"user.mine", b"1")
        engine.rmdir("dir/gone")
        engine.mkdir("dir/gone")
        for number in range(40):  # more than are kept open of others
            engine.mkdir(f"dir/{number}")
            engine.create(f"dir/{number}/file")
        before = len(os.listdir("/proc/self/fd"))

        assert engine.union.list_xattrs(node, engine.caller) == [b"user.mine"]
        change = SetAttributes(mode=0o711)
        engine.changes.set_attributes(node, change, engine.caller)
        assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == 0o711
        assert len(os.listdir("/proc/self/fd")) == before
        engine.union.nodes.forget(node.nodeid, node.lookups)
        assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_removal_that_is_refused_keeps_nothing_open_for_long(
    engine: EngineTree,
) -> None:
    engine.mkdir("dir/full")
    engine.create("dir/full/file")
    node = engine.node("dir/full")
    for _ in range(3):
        assert result_of(engine, ("rmdir", "dir/full")) == "ENOTEMPTY"
    before = len(os.listdir("/proc/self/fd"))

    engine.unlink("dir/full/file")
    engine.rmdir("dir/full")
    engine.union.nodes.forget(node.nodeid, node.lookups)

    assert len(os.listdir("/proc/self/fd")) < before


def test_a_lower_file_is_readable_and_writable_after_its_unlink(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    node = engine.node("dir/file")
    engine.unlink("dir/file")

    assert engine.changes.data.read(node, 0, 9) == b"lower"
    engine.changes.data.write(node, 0, b"L")
    assert engine.changes.data.read(node, 0, 9) == b"Lower"
    assert node.flags & PINNED
    assert engine.listdir("dir") == ["link"]
    assert (sandbox.lowers[0] / "dir/file").read_bytes() == b"lower"


def test_a_file_replaced_by_a_rename_is_kept(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    engine.create("dir/a")
    engine.write("dir/a", 0, b"replaced")
    replaced = engine.node("dir/a")
    engine.rename("dir/file", "dir/a")

    assert engine.changes.data.read(replaced, 0, 9) == b"replaced"
    assert engine.union.status(replaced)[2] == 0
    assert engine.read("dir/a") == b"lower"
    engine.union.nodes.forget(replaced.nodeid, replaced.lookups)
    assert _pinned(sandbox) == []


def test_all_names_of_an_upper_file_lead_to_one_node(engine: EngineTree) -> None:
    engine.create("one")
    engine.link("one", "dir/two")
    node = engine.node("one")

    assert engine.node("dir/two") is node
    assert engine.union.status(node)[2] == 2
    engine.unlink("one")
    assert engine.node("dir/two") is node
    assert engine.union.status(node)[2] == 1
    engine.write("dir/two", 0, b"data")
    assert engine.read("dir/two") == b"data"


def test_a_pinned_file_is_found_again_by_its_other_name(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    engine.create("one")
    engine.link("one", "two")
    node = engine.node("one")
    # A server that started later may not know the second name.
    engine.union.nodes.detach(node, engine.union.nodes.root, b"two")
    engine.unlink("one")
    assert engine.union.status(node)[2] == 1

    assert engine.node("two") is node
    engine.unlink("two")
    assert engine.union.status(node)[2] == 0
    engine.union.nodes.forget(node.nodeid, node.lookups)
    assert _pinned(sandbox) == []


def test_a_file_without_a_name_can_be_linked_once_and_again(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    parent = engine.node("dir")
    node = engine.changes.make_unnamed(parent, 0o640, engine.caller)  # type: ignore[arg-type]  # a directory
    engine.union.nodes.reference(node)
    assert engine.union.status(node)[2] == 0

    engine.changes.link(node, engine.union.nodes.root, b"named")
    assert engine.union.status(node)[2] == 1
    assert _pinned(sandbox) == []
    engine.link("named", "dir/again")
    assert engine.union.status(node)[2] == 2


def test_times_can_be_set_one_by_one_and_to_now(
    sandbox: Sandbox, engine: EngineTree
) -> None:
    node = engine.node("dir/link")
    engine.changes.set_attributes(node, SetAttributes(mtime_ns=77), engine.caller)
    status = os.lstat(sandbox.upper / "dir/link")
    assert (status.st_atime_ns, status.st_mtime_ns) == (OLD_NS, 77)

    engine.changes.set_attributes(
        node, SetAttributes(atime_ns=-3_000_000_001, mtime_ns=UTIME_NOW), engine.caller
    )
    status = os.lstat(sandbox.upper / "dir/link")
    assert status.st_atime_ns == -3_000_000_001
    assert status.st_mtime_ns > OLD_NS


def test_the_mode_of_a_link_cannot_be_set(engine: EngineTree) -> None:
    assert result_of(engine, ("chmod", "dir/link", 0o600)) == "ENOTSUP"


def test_a_write_takes_setuid_away_when_it_must(engine: EngineTree) -> None:
    data = engine.changes.data
    member, stranger = Caller(1000, 50), Caller(1000, 51)
    engine.chown("dir/file", 1000, 50)
    for changer, mode, left in (
        (stranger, 0o6755, 0o755),
        (member, 0o6755, 0o755),
        (stranger, 0o2644, 0o644),
        (member, 0o2644, 0o2644),
        (stranger, 0o4644, 0o644),
    ):
        engine.chmod("dir/file", mode)
        node = engine.node("dir/file")
        data.write(node, 0, b"x")
        assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == mode
        data.write(node, 0, b"x", changer=changer)
        assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == left
        engine.chmod("dir/file", mode)
        data.truncate(node, 2, changer=changer)
        assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == left


def test_chown_by_a_stranger_to_the_group_takes_setgid_away(
    engine: EngineTree,
) -> None:
    engine.chown("dir/file", 1000, 50)
    engine.chmod("dir/file", 0o2644)
    node = engine.node("dir/file")

    change = SetAttributes(gid=1000)
    engine.changes.set_attributes(node, change, Caller(1000, 1000, 0))

    assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == 0o644


def test_an_access_acl_takes_setgid_away_when_it_must(engine: EngineTree) -> None:
    engine.chmod("dir/file", 0o2755)
    node = engine.node("dir/file")
    acl = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + b"\5\0\xff\xff\xff\xff" for tag in (1, 4, 32)
    )

    engine.changes.set_xattr(node, b"system.posix_acl_access", acl, kills_sgid=True)

    assert stat.S_IMODE(engine.union.status(node)[0].st_mode) == 0o555


def test_no_acl_is_stored_with_noacl(sandbox: Sandbox) -> None:
    with sandbox.engine(is_noacl=True) as engine:
        change = ("setxattr", "dir/file", "system.posix_acl_access", b"\2\0\0\0")
        assert result_of(engine, change) == "ENOTSUP"
    assert os.listdir(sandbox.upper) == []


def test_few_descriptors_serve_many_files(sandbox: Sandbox) -> None:
    with sandbox.engine() as engine:
        data = engine.changes.data
        data._limit = 4
        for index in range(20):
            engine.create(f"dir/f{index}")
        before = len(os.listdir("/proc/self/fd"))
        for index in range(20):
            engine.write(f"dir/f{index}", 0, b"%d" % index)
        for index in range(20):
            assert engine.read(f"dir/f{index}") == b"%d" % index
        assert len(os.listdir("/proc/self/fd")) <= before + 8


def test_holes_and_data_are_found_and_copied(engine: EngineTree) -> None:
    engine.create("holes")
    engine.truncate("holes", 1 << 20)
    engine.write("holes", 65536, b"data")
    data = engine.changes.data
    node, lower = engine.node("holes"), engine.node("dir/file")

    assert data.seek(node, 0, os.SEEK_DATA) == 65536
    assert data.seek(node, 0, os.SEEK_HOLE) == 0
    with pytest.raises(OSError, match="No such device") as caught:
        data.seek(node, 1 << 21, os.SEEK_DATA)
    assert caught.value.errno == errno.ENXIO
    assert data.copy_range(lower, 1, node, 10, 100) == 4
    assert data.read(node, 8, 8) == b"\0\0ower\0\0"
    assert lower.layer == 1


def test_a_descriptor_of_ones_own_outlives_the_cache(engine: EngineTree) -> None:
    node = engine.node("dir/file")
    reading = engine.changes.data.duplicate(node)
    writing = engine.changes.data.duplicate(node, is_writing=True)
    engine.changes.data.drop(node)
    try:
        os.pwrite(writing, b"L", 0)
        assert os.pread(reading, 9, 0) == b"lower"
        assert engine.read("dir/file") == b"Lower"
    finally:
        os.close(reading)
        os.close(writing)


def test_creating_for_another_keeps_our_privilege(tmp_path: Path) -> None:
    identity = Identity()
    directory = tmp_path / "closed"
    directory.mkdir(mode=0o700)
    seen: list[int] = []

    def make() -> None:
        os.mknod(directory / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        seen.append(os.stat(directory / "device").st_uid)

    identity.create(4242, 4343, make)
    (directory / "ours").touch()

    status = os.stat(directory / "device")
    assert (status.st_uid, status.st_gid, seen) == (4242, 4343, [4242])
    assert os.stat(directory / "ours").st_uid == 0


def test_the_umask_is_given_back(sandbox: Sandbox) -> None:
    before = os.umask(0o013)
    try:
        with sandbox.engine() as engine:
            engine.create("x", 0o666)
        assert stat.S_IMODE(os.stat(sandbox.upper / "x").st_mode) == 0o644
        assert os.umask(0o013) == 0o013
    finally:
        os.umask(before)


def test_a_listing_finds_the_copy_after_its_node_was_forgotten(
    engine: EngineTree,
) -> None:
    engine.listdir("dir")
    engine.write("dir/file", 0, b"L")
    node, directory = engine.node("dir/file"), engine.node("dir")
    assert isinstance(directory, Directory)
    engine.union.nodes.forget(node.nodeid, node.lookups)

    entry = engine.union.listing(directory).find(b"file")
    assert entry is not None
    again = engine.union.lookup(directory, b"file", entry[3])

    assert again is not None
    assert engine.changes.data.read(again, 0, 9) == b"Lower"


def test_an_ordinary_user_has_all_but_other_owners() -> None:
    root = Path(tempfile.mkdtemp(prefix="snapfs-"))
    try:
        root.chmod(0o777)
        child = os.fork()
        if not child:
            _work_as_nobody(root)
        _, result = os.waitpid(child, 0)
    finally:
        shutil.rmtree(root)
    assert os.waitstatus_to_exitcode(result) == 0


def _work_as_nobody(root: Path) -> None:
    changes: list[tuple[object, ...]] = [
        ("chmod", "dir/file", 0o400),
        ("write", "dir/file", 0, b"L"),  # the kernel has let the owner open it before
        ("read", "dir/file"),
        ("chown", "dir/link", 65534, 65534),
        ("chown", "dir/file", 5, 5),
        ("unlink", "dir/link"),
        ("mkdir", "dir/link"),
        ("create", "dir/link/x", 0o444),
        ("write", "dir/link/x", 0, b"new"),
        ("rename", "dir", "moved"),
        ("user", 5, 5, "create", "other"),
        ("rename", "dir/file", "top"),
        ("mknod", "dir/null", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
        ("listdir", "dir"),
    ]
    expected = [
        *(None, 1, b"Lower", None, "EPERM", None, None, None, 3),
        *("EXDEV", "EPERM", None, "EPERM", ["link"]),
    ]
    status = 1
    try:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        sandbox = Sandbox(root / "layers", lowers=1)
        build(
            sandbox.lowers[0], [("dir/file", "f", b"lower"), ("dir/link", "l", "file")]
        )
        with sandbox.engine(XattrPrefix.USER) as engine:
            engine.caller = Caller(65534, 65534, os.getpid(), 0o022)
            results = [result_of(engine, change) for change in changes]
        if results == expected and os.listdir(sandbox.work / "work") == []:
            status = 0
        else:
            os.write(2, repr(results).encode())
    finally:
        os._exit(status)


def test_a_new_file_is_open_already_when_it_is_written_to(
    engine: EngineTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.create("new", mode=0o400)
    node = engine.node("new")

    def refuse(*_arguments: object, **_options: object) -> int:
        raise AssertionError("opened once more")

    monkeypatch.setattr(os, "open", refuse)
    assert engine.changes.data.write(node, 0, b"data") == 4
    assert engine.changes.data.read(node, 0, 9) == b"data"


def test_files_are_made_without_a_descriptor_to_spare(
    sandbox: Sandbox, engine: EngineTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = os.open

    def refuse(path: bytes, flags: int, mode: int = 0, *, dir_fd: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, "too many open files")
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    engine.create("new", mode=0o640)
    monkeypatch.undo()

    assert stat.S_IMODE((sandbox.upper / "new").stat().st_mode) == 0o640
    engine.write("new", 0, b"data")
    assert (sandbox.upper / "new").read_bytes() == b"data"


def test_a_file_that_could_not_be_made_stays_open_for_nobody(
    engine: EngineTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.unlink("dir/file")
    opened = len(os.listdir("/proc/self/fd"))

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="no space"):
        engine.create("dir/file")
    monkeypatch.undo()

    assert len(os.listdir("/proc/self/fd")) == opened
    engine.create("dir/file")


@pytest.mark.parametrize("has_acl", [False, True])
@pytest.mark.parametrize("over_whiteout", [False, True])
def test_a_new_file_has_no_attributes_only_if_its_directory_has_none(
    engine: EngineTree, *, has_acl: bool, over_whiteout: bool
) -> None:
    directory = engine.node("dir")
    if has_acl:
        engine.changes.set_xattr(directory, DEFAULT, _ACL)
    if over_whiteout:
        engine.unlink("dir/file")

    engine.create("dir/file" if over_whiteout else "dir/new")
    engine.mkdir("dir/below")

    file = engine.node("dir/file" if over_whiteout else "dir/new")
    below = engine.node("dir/below")
    assert bool(file.flags & PLAIN) == (not has_acl)
    assert bool(below.flags & PLAIN) == (not has_acl)
    names = engine.union.list_xattrs(below, engine.caller)
    assert (DEFAULT in names) == has_acl


def test_an_attribute_set_on_a_new_file_is_told(engine: EngineTree) -> None:
    engine.create("dir/new")
    node = engine.node("dir/new")

    engine.changes.set_xattr(node, b"user.a", b"b")

    assert not engine.union.is_plain(node)
    assert engine.union.get_xattr(node, b"user.a", engine.caller) == b"b"


def test_what_a_new_directory_does_not_have_is_not_searched_for(
    engine: EngineTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.mkdir("new")
    engine.create("new/file")
    directory = engine.node("new")
    assert isinstance(directory, Directory)
    monkeypatch.setattr("snapfs.fuse.union.union.find", None)

    assert engine.union.lookup(directory, b"other") is None
    assert engine.union.lookup(directory, b"file") is engine.node("new/file")
    with pytest.raises(OSError, match="File name too long"):
        engine.union.lookup(directory, b"x" * 256)


def test_what_was_forgotten_of_a_new_directory_is_found_again(
    engine: EngineTree,
) -> None:
    engine.mkdir("new")
    engine.create("new/file")
    engine.create("new/first")
    engine.link("new/first", "new/second")
    engine.create("other")
    engine.rename("other", "new/moved")
    engine.unlink("new/file")
    engine.create("new/file")
    directory = engine.node("new")
    assert isinstance(directory, Directory)
    names = set(directory.children)
    nodes = engine.union.nodes
    nodes.reference(directory)

    for node in set(directory.children.values()):
        nodes.forget(node.nodeid, node.lookups)
        nodes.release(node)

    assert names == {b"file", b"first", b"second", b"moved"}
    assert not directory.children
    assert all(engine.union.lookup(directory, name) for name in names)
    assert engine.union.lookup(directory, b"other") is None
