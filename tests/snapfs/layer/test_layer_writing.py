"""Layers written from directories: applied again they are the same directories."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnimplementedError,
)
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.notes import Notes
from snapfs.layer.overlay_entries import overlay_entries
from snapfs.layer.tree import LayerTree
from snapfs.layer.writing import LayerForm
from snapfs.layer.written import LayerEntry, PlainOutput, order_of
from snapfs.overlay_format import XattrPrefix, make_whiteout, set_opaque
from support.applied_layers import apply_tar, opened
from support.disks import small_disk
from support.tar_blocks import members_of, reader_of, walk
from support.tree_metadata import compare, read_metadata
from support.written_layers import (
    EXACT,
    raw_times,
    tar_of_directory,
    tar_of_entries,
)

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHi", *fields)
    for fields in ((1, 6, -1), (2, 7, 1000), (4, 4, -1), (16, 7, -1), (32, 0, -1))
)
SECOND = 10**9


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer"
    path.mkdir()
    return path


def names_of(data: bytes) -> list[bytes]:
    return [member.name for member, _ in members_of(data)]


def make_everything(root: Path) -> None:
    """Fill a directory with one of everything that a layer can hold."""
    root.chmod(0o1751)
    os.chown(root, 7, 8)
    deep = root / ("d" * 200) / ("é" * 100)
    deep.mkdir(parents=True)
    (deep / ("f" * 250)).write_bytes(b"deep")
    (root / "empty").touch(mode=0)
    (root / "file").write_bytes(os.urandom(700_000))
    os.chown(root / "file", 3_000_000, 4_000_000_000)
    (root / "file").chmod(0o6751)
    os.setxattr(root / "file", "user.note", b"line\n=\0\xff")
    os.setxattr(root / "file", "user.odd=name%3D", b"")
    os.setxattr(root / "file", "security.capability", CAPABILITY)
    os.setxattr(root / "file", "trusted.overlay.overlay.opaque", b"y")
    os.setxattr(root / "file", "trusted.overlay.origin", b"not for others")
    (root / "acl").mkdir(mode=0o750)
    os.setxattr(root / "acl", "system.posix_acl_default", ACL)
    os.setxattr(root / "acl", "system.posix_acl_access", ACL)
    os.link(root / "file", root / "a second name")
    os.link(root / "file", deep / "third")
    (root / "soft").symlink_to("t" * 300)
    os.chown(root / "soft", 5, 6, follow_symlinks=False)
    os.link(root / "soft", root / "zoft", follow_symlinks=False)
    os.mkfifo(root / "pipe", 0o622)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o640, os.makedev(4095, 1048575))
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9\n \xff")).write_bytes(b"odd")
    with (root / "holes").open("wb") as file:
        file.truncate(40 << 20)
        file.seek(17 << 20)
        file.write(b"data")
    (root / "gone").mkdir()
    make_whiteout(f"{root}/gone/zz")
    make_whiteout(f"{root}/gone/b")
    (root / "gone" / "a").touch()
    (root / "hiding").mkdir()
    set_opaque(f"{root}/hiding", XattrPrefix.TRUSTED)
    (root / "hiding" / "new").touch()
    raw_times(root / "old" if (root / "old").exists() else root / "pipe", -SECOND - 1)
    raw_times(root / "soft", 2**33 * SECOND + 5)
    # Path.rglob of Python 3.11.2 fails at a symlink whose target is too long.
    paths = [
        Path(folder, name)
        for folder, directories, files in os.walk(root)
        for name in (*directories, *files)
    ]
    for number, path in enumerate(sorted(paths, reverse=True)):
        if not path.is_symlink() and path.name not in ("pipe", "b", "zz"):
            raw_times(path, 1_600_000_000 * SECOND + number)
    raw_times(root, 1_234_567_890 * SECOND + 1)


def without_origin(tree: object) -> object:
    """Leave out the marks that only say that whiteouts lie in a directory."""
    assert isinstance(tree, dict)
    for metadata in tree.values():
        metadata.xattrs.pop("trusted.overlay.origin", None)
    return tree


@pytest.mark.root
def test_a_layer_applied_again_is_the_same_directory(
    layer: Path, tmp_path: Path
) -> None:
    make_everything(layer)

    data = tar_of_directory(layer)
    apply_tar(
        tmp_path / "again",
        data,
        policy=Policy(xattrs=("user.*", "security.*", "system.*", "trusted.*")),
    )

    want = read_metadata(os.fsencode(layer))
    have = read_metadata(os.fsencode(tmp_path / "again"))
    for tree in (want, have):
        without_origin(tree)
    whiteouts = (b"gone/b", b"gone/zz")  # their attributes mean nothing
    for path in whiteouts:
        assert have.pop(path).device == want.pop(path).device == (0, 0)
    assert compare(have, want) == []
    assert (tmp_path / "again" / "holes").stat().st_size == 40 << 20
    assert tar_of_directory(tmp_path / "again") == data


@pytest.mark.root
def test_members_come_in_the_order_of_the_specification(layer: Path) -> None:
    make_everything(layer)

    names = names_of(tar_of_directory(layer, root_opaque=True))

    assert names[:2] == [b"./", b".wh..wh..opq"]
    at = names.index(b"gone/")
    assert names[at : at + 4] == [b"gone/", b"gone/.wh.b", b"gone/.wh.zz", b"gone/a"]
    at = names.index(b"hiding/")
    assert names[at : at + 3] == [b"hiding/", b"hiding/.wh..wh..opq", b"hiding/new"]
    assert len(set(names)) == len(names)
    assert names.index(b"a second name") < names.index(b"file")


@pytest.mark.root
def test_marks_are_empty_files_of_nobody_and_no_time(layer: Path) -> None:
    make_everything(layer)

    with tarfile.open(fileobj=io.BytesIO(tar_of_directory(layer))) as archive:
        marks = [m for m in archive if os.path.basename(m.name).startswith(".wh.")]

    assert len(marks) == 3
    for mark in marks:
        assert mark.isfile()
        assert (mark.mode, mark.uid, mark.gid, mark.size, mark.mtime) == (0,) * 5


@pytest.mark.root
def test_the_same_tree_elsewhere_and_later_gives_the_same_bytes(
    layer: Path, tmp_path: Path
) -> None:
    make_everything(layer)
    want = tar_of_directory(layer, LayerForm())

    with small_disk(tmp_path / "tmpfs", "100m") as disk:
        copy = disk / "copy"
        subprocess.run(["cp", "-a", "--sparse=always", f"{layer}/.", copy], check=True)
        for name in sorted(os.listdir(copy)):  # another order of listings
            (copy / name).rename(copy / "moving")
            (copy / "moving").rename(copy / name)
        raw_times(copy, layer.stat().st_mtime_ns)
        have = tar_of_directory(copy, LayerForm())

    assert have == want


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param(LayerForm(), 1_600_000_000 * SECOND, id="seconds"),
        pytest.param(EXACT, 1_600_000_000 * SECOND + 5, id="nanoseconds"),
        pytest.param(LayerForm(latest_s=1_000), 1_000 * SECOND, id="bounded"),
        pytest.param(
            LayerForm(keep_ns=True, latest_s=1_000), 1_000 * SECOND, id="both"
        ),
        pytest.param(
            LayerForm(latest_s=1_700_000_000), 1_600_000_000 * SECOND, id="later bound"
        ),
    ],
)
def test_times_are_as_the_form_says(
    layer: Path, form: LayerForm, expected: int
) -> None:
    (layer / "file").touch()
    raw_times(layer / "file", 1_600_000_000 * SECOND + 5)

    times = {m.name: m.mtime_ns for m, _ in members_of(tar_of_directory(layer, form))}

    assert times[b"file"] == expected


def test_a_fixed_owner_owns_everything(layer: Path) -> None:
    (layer / "file").touch()
    form = LayerForm(owner=(12, 34))

    owners = {(m.uid, m.gid) for m, _ in members_of(tar_of_directory(layer, form))}

    assert owners == {(12, 34)}


def test_sockets_are_left_out_with_a_note(layer: Path) -> None:
    notes = Notes()
    with contextlib.chdir(layer), socket.socket(socket.AF_UNIX) as opened_socket:
        opened_socket.bind("socket")

        data = tar_of_directory(layer, notes=notes)

    assert names_of(data) == [b"./"]
    assert notes.lines() == ("sockets left out: no layer can hold them",)


@pytest.mark.root
def test_marks_of_the_other_prefix_are_left_out_with_a_note(layer: Path) -> None:
    (layer / "file").touch()
    os.setxattr(layer / "file", "user.overlay.opaque", b"y")
    os.setxattr(layer / "file", "trusted.overlay.impure", b"y")
    notes = Notes()

    data = tar_of_directory(layer, notes=notes)

    assert b"overlay" not in data
    assert notes.lines() == ("extended attribute 'user.overlay.opaque' left out",)


@pytest.mark.root
@pytest.mark.parametrize(
    ("mark", "value", "message"),
    [
        ("redirect", b"/else/where", "'d' is a redirect"),
        ("metacopy", b"", "'f' is a metacopy"),
    ],
)
def test_what_lies_in_lower_layers_is_refused(
    layer: Path, mark: str, value: bytes, message: str
) -> None:
    (layer / "d").mkdir()
    (layer / "f").touch()
    target = layer / ("d" if mark == "redirect" else "f")
    os.setxattr(target, f"trusted.overlay.{mark}", value)

    with pytest.raises(UnimplementedError, match=message):
        tar_of_directory(layer)


@pytest.mark.root
def test_whiteouts_in_xattr_form_are_whiteouts(layer: Path) -> None:
    os.setxattr(layer, "trusted.overlay.opaque", b"x")
    (layer / "gone").touch()
    os.setxattr(layer / "gone", "trusted.overlay.whiteout", b"")
    (layer / "here").touch()

    assert names_of(tar_of_directory(layer)) == [b"./", b".wh.gone", b"here"]


def test_names_of_whiteouts_are_refused(layer: Path) -> None:
    (layer / ".wh.data").touch()

    with pytest.raises(FailedPreconditionError, match=r"'\.wh\.data' cannot be in"):
        tar_of_directory(layer)


def test_a_file_that_changes_while_it_is_read_is_no_layer(layer: Path) -> None:
    (layer / "log").write_bytes(b"one line\n")

    def entries() -> Iterator[LayerEntry]:
        with opened(layer) as fd:
            for entry in overlay_entries(fd, XattrPrefix.TRUSTED, Notes()):
                if entry.path == b"log":
                    with (layer / "log").open("ab") as log:
                        log.write(b"another\n")
                yield entry

    with pytest.raises(FailedPreconditionError, match="'log' changed while it was"):
        tar_of_entries(entries())


def test_a_file_that_shrinks_while_it_is_read_is_no_layer(layer: Path) -> None:
    (layer / "log").write_bytes(bytes(10_000))

    def entries() -> Iterator[LayerEntry]:
        with opened(layer) as fd:
            for entry in overlay_entries(fd, XattrPrefix.TRUSTED, Notes()):
                if entry.path == b"log":
                    os.truncate(layer / "log", 1)
                yield entry

    with pytest.raises(FailedPreconditionError, match="'log' changed while it was"):
        tar_of_entries(entries())


def test_trees_deeper_than_descriptors_allow_are_walked(layer: Path) -> None:
    depth = 300
    at = os.open(layer, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(b"d" * 20, dir_fd=at)
        os.close(os.open("file", os.O_CREAT, dir_fd=at))
        below = os.open(b"d" * 20, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    names = names_of(tar_of_directory(layer))

    assert len(names) == 2 * depth + 1
    assert names == sorted(names[:1] + names[1:], key=lambda name: name.split(b"/"))
    shutil.rmtree(layer)


@pytest.mark.root
def test_gnu_tar_extracts_the_same_directory(layer: Path, tmp_path: Path) -> None:
    if shutil.which("tar") is None:
        pytest.skip("needs tar")
    make_everything(layer)
    for mark in ("gone/b", "gone/zz"):  # GNU tar knows no whiteouts
        (layer / mark).unlink()
    os.removexattr(layer / "hiding", "trusted.overlay.opaque")
    os.removexattr(layer / "file", "trusted.overlay.origin")
    os.removexattr(layer / "file", "trusted.overlay.overlay.opaque")
    for path in (layer / "gone", layer / "hiding"):
        raw_times(path, SECOND)
    target = tmp_path / "extracted"
    target.mkdir()

    subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-xp", "--same-owner", "-C", target],
        input=tar_of_directory(layer),
        check=True,
        capture_output=True,
    )

    want, have = (read_metadata(os.fsencode(path)) for path in (layer, target))
    assert compare(have, want) == []


def test_entries_in_another_order_are_refused() -> None:
    entries = [LayerEntry(b"b", Kind.FIFO), LayerEntry(b"a", Kind.FIFO)]

    with pytest.raises(InvalidArgumentError, match="'a' comes too late"):
        tar_of_entries(entries)


class Content:
    """A body in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def write_to(self, out: PlainOutput, size_bytes: int) -> None:
        assert size_bytes == len(self.data)
        out.write(self.data)


NAMES = st.sampled_from([b"a", b"b", b"a.b", b"a-", b"\xff", "ä".encode(), b"z" * 90])
KINDS = st.sampled_from([kind for kind in Kind if kind is not Kind.LOWER_LINK])


@st.composite
def layers(draw: st.DrawFn) -> list[LayerEntry]:
    """Draw the entries of a layer, in their order."""
    paths = draw(st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple)))
    # Below an opaque directory marks say nothing, and no reader keeps them.
    directories: dict[tuple[bytes, ...], bool] = {(): draw(st.booleans())}
    groups: dict[int, LayerEntry] = {}
    entries = [LayerEntry(b"", Kind.DIRECTORY, is_opaque=directories[()])]
    for path in sorted(paths):
        if path[:-1] not in directories:
            continue
        entry = LayerEntry(b"/".join(path), draw(KINDS))
        is_hidden = directories[path[:-1]]
        if entry.kind is Kind.WHITEOUT and is_hidden:
            continue
        entries.append(entry)
        if entry.kind is Kind.WHITEOUT:
            continue
        if entry.kind is Kind.DIRECTORY:
            entry.is_opaque = not is_hidden and draw(st.booleans())
            directories[path] = is_hidden or entry.is_opaque
        elif entry.kind is Kind.SYMLINK:
            entry.link_target = draw(st.binary(min_size=1)).replace(b"\0", b"/")
        elif entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            entry.device = draw(st.tuples(st.integers(1, 4095), st.integers(0, 9)))
        entry.mode = draw(st.integers(0, 0o7777))
        entry.uid = draw(st.integers(0, 2**32 - 2))
        entry.gid = draw(st.integers(0, 2**32 - 2))
        entry.mtime_ns = draw(st.integers(-(2**62), 2**62))
        entry.xattrs = draw(
            st.dictionaries(st.sampled_from([b"user.a", b"user.=%"]), st.binary())
        )
        if entry.kind is Kind.FILE:
            content = Content(draw(st.binary(max_size=1_500)))
            entry.body, entry.size_bytes = content, len(content.data)
            group = draw(st.integers(0, 2))
            first = groups.setdefault(group, entry) if group else entry
            if group:
                entry = dataclasses.replace(first, path=entry.path, inode=(1, group))
                groups[group] = entries[-1] = entry
    return sorted(entries, key=order_of)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(layers())
def test_random_layers_are_indexed_as_they_were_written(
    entries: list[LayerEntry],
) -> None:
    data = tar_of_entries(entries)

    tree = LayerTree(Limits(), Policy())
    reader = reader_of(data)
    bodies = {}
    for member, body in walk(reader):
        tree.admit(member)
        bodies[member.data_offset] = body
    assert not reader.drain()
    tree.settle()
    index = tree.index()

    assert len(index) == len(entries)
    groups: dict[tuple[int, int], set[int]] = {}
    for entry in entries:
        node = index.lookup(entry.path)
        assert node is not None
        found = index.entry(node)
        assert found.kind is entry.kind
        if entry.kind is Kind.WHITEOUT:
            continue
        assert (found.mode, found.uid, found.gid) == (entry.mode, entry.uid, entry.gid)
        assert found.mtime_ns == entry.mtime_ns
        assert (found.link_target, found.device) == (entry.link_target, entry.device)
        assert (found.xattrs, found.is_opaque) == (entry.xattrs, entry.is_opaque)
        if isinstance(entry.body, Content):
            assert bodies[found.data_offset][: found.size_bytes] == entry.body.data
        if entry.inode:
            groups.setdefault(entry.inode, set()).add(found.group)
    assert all(len(numbers) == 1 for numbers in groups.values())
