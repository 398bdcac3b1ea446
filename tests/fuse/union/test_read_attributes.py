"""Extended attributes, inode numbers and totals as callers see them."""

from __future__ import annotations

import errno
import gc
import os
import stat
import struct
import tracemalloc
from pathlib import Path

import pytest

from snapfs.fuse.union.inode_numbers import decode_origin, encode_origin
from snapfs.fuse.union.node import Directory
from snapfs.fuse.union.options import Ownership
from snapfs.fuse.union.xattrs import map_acl, shown_name, stored_name
from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import MNT_DETACH, mount, umount2
from support.union_trees import (
    Admin,
    Ordinary,
    failure_of,
    mount_rows,
    mounted_overlay,
    opened_union,
    union_rows,
)


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    layers = [tmp_path / "upper", tmp_path / "lower"]
    for layer in layers:
        layer.mkdir()
    return layers


@pytest.mark.root
def test_private_attributes_are_hidden_and_escaped_ones_shown(
    tmp_path: Path, layers: list[Path]
) -> None:
    (layers[1] / "file").touch()
    for name, value in (
        ("trusted.overlay.opaque", b"y"),
        ("trusted.overlay.overlay.opaque", b"inner"),
        ("trusted.other", b"t"),
        ("user.overlay.opaque", b"not ours"),
        ("user.plain", b"u"),
    ):
        os.setxattr(layers[1] / "file", name, value)
    with mounted_overlay(layers, tmp_path / "merged") as merged:
        expected = mount_rows(merged)
    with opened_union(layers) as union:
        assert union_rows(union) == expected
        node = union.lookup(union.nodes.root, b"file")
        assert node is not None

        assert union.get_xattr(node, b"trusted.overlay.opaque", Admin()) == b"inner"
        for hidden, caller in (
            (b"trusted.overlay.overlay.opaque", Admin()),
            (b"trusted.other", Ordinary()),
            (b"user.absent", Admin()),
        ):
            assert failure_of(union.get_xattr, node, hidden, caller) == errno.ENODATA
        assert sorted(union.list_xattrs(node, Ordinary())) == [
            b"user.overlay.opaque",
            b"user.plain",
        ]


def test_attribute_names_go_there_and_back() -> None:
    for prefix in XattrPrefix:
        own = f"{prefix}overlay.".encode()
        assert shown_name(own + b"opaque", prefix) is None
        for name in (own + b"x", own + b"overlay.x", b"user.x", b"security.y"):
            assert shown_name(stored_name(name, prefix), prefix) == name


class _Shifted(Ownership):
    is_identity = False

    def shown(self, uid: int, gid: int) -> tuple[int, int]:
        return uid - 1000, gid - 2000


@pytest.mark.root
def test_acls_pass_with_their_owners_translated(layers: list[Path]) -> None:
    entries = [(0x01, 6, 0xFFFFFFFF), (0x02, 4, 1005), (0x04, 4, 0xFFFFFFFF)]
    entries += [(0x08, 4, 2006), (0x10, 4, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
    (layers[1] / "file").touch()
    os.setxattr(layers[1] / "file", "system.posix_acl_access", acl)
    name = b"system.posix_acl_access"
    with opened_union(layers) as union:
        node = union.lookup(union.nodes.root, b"file")
        assert node is not None
        assert union.get_xattr(node, name, Ordinary()) == acl
        assert union.list_xattrs(node, Ordinary()) == [name]

        union.options.ownership = _Shifted()
        shifted = union.get_xattr(node, name, Ordinary())
        ids = [struct.unpack_from("<HHI", shifted, at)[2] for at in (12, 28)]
        assert ids == [5, 6]

        union.options.is_noacl = True
        assert failure_of(union.get_xattr, node, name, Admin()) == errno.ENOTSUP
        assert union.list_xattrs(node, Admin()) == []
    assert map_acl(b"no ACL", _Shifted().shown) == b"no ACL"


def test_plain_layers_need_no_questions_for_attributes(layers: list[Path]) -> None:
    with opened_union(layers) as union:
        assert union.may_have_xattrs
        for layer in union.stack.layers:
            layer.is_plain = True
        assert not union.may_have_xattrs


@pytest.mark.root
@pytest.mark.parametrize("is_upper_apart", [False, True])
def test_numbers_of_several_filesystems_are_those_of_xino(
    tmp_path: Path, is_upper_apart: bool
) -> None:
    tmpfs = tmp_path / "tmpfs"
    tmpfs.mkdir()
    mount("tmpfs", tmpfs, "tmpfs")
    try:
        first, second = tmp_path / "first", tmpfs / "second"
        home = tmpfs if is_upper_apart else tmp_path
        upper, work = home / "upper", home / "work"
        for layer in (first, second, upper):
            (layer / "dir").mkdir(parents=True)
            (layer / "dir" / layer.name).write_bytes(b"x")
            (layer / layer.name).mkdir()
        for _ in range(2):
            with mounted_overlay(
                [first, second], tmp_path / "merged", upper, work, "xino=on"
            ) as merged:
                (merged / "dir/second").chmod(0o600)
                expected = mount_rows(merged)
        with opened_union([first, second], upper, work) as union:
            rows = union_rows(union)
        with opened_union([first, second], is_xino=False) as union:
            low = union_rows(union)
    finally:
        umount2(tmpfs, MNT_DETACH)

    assert rows == expected
    assert len({row.ino for row in rows.values()}) == len(rows)
    assert all(row.ino < 1 << 62 for row in low.values())


def test_origins_that_cannot_be_read_say_nothing() -> None:
    good = encode_origin(bytes(range(16)), 1, b"12345678")

    assert decode_origin(good) == (bytes(range(16)), 1, b"12345678")
    for bad in (
        b"",
        good[:-1],
        good + b"x",
        b"\1" + good[1:],
        good[:1] + b"\0" + good[2:],
        good[:3] + b"\x08" + good[4:],
        good[:3] + bytes([good[3] ^ 1]) + good[4:],
    ):
        assert decode_origin(bad) is None


@pytest.mark.root
def test_an_origin_is_encoded_as_the_kernel_does(
    tmp_path: Path, layers: list[Path]
) -> None:
    upper, lower = layers
    (lower / "file").write_bytes(b"x")
    with mounted_overlay(
        [lower], tmp_path / "merged", upper, tmp_path / "work"
    ) as merged:
        (merged / "file").chmod(0o600)
    written = os.getxattr(upper / "file", "trusted.overlay.origin")

    decoded = decode_origin(written)

    assert decoded is not None
    assert encode_origin(*decoded) == written


@pytest.mark.root
def test_a_file_whose_origin_may_not_be_opened_has_the_number_below(
    tmp_path: Path, layers: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upper, lower = layers
    (lower / "file").write_bytes(b"x")
    with mounted_overlay(
        [lower], tmp_path / "merged", upper, tmp_path / "work"
    ) as merged:
        (merged / "file").chmod(0o600)

    def refuse(*_: object) -> int:
        raise OSError(errno.EPERM, "no CAP_DAC_READ_SEARCH")

    monkeypatch.setattr("snapfs.fuse.union.inode_numbers.open_by_handle_at", refuse)
    with opened_union([lower], upper, tmp_path / "work") as union:
        node = union.lookup(union.nodes.root, b"file")
        assert node is not None
        assert node.layer == 0
        assert node.ino == (lower / "file").stat().st_ino


def test_totals_are_those_of_the_top_layer(layers: list[Path]) -> None:
    with opened_union(layers) as union:
        totals = union.statfs()

    expected = os.statvfs(layers[0])
    assert totals.f_blocks == expected.f_blocks
    assert totals.f_namemax == expected.f_namemax


def test_a_visited_inode_takes_little_memory(layers: list[Path]) -> None:
    count = 20_000
    for number in range(count // 1000):
        (layers[1] / f"dir{number}").mkdir()
        for name in range(1000):
            os.mkfifo(layers[1] / f"dir{number}/some-module-{name:04}.py")
    with opened_union(layers) as union:
        gc.collect()
        tracemalloc.start()
        try:
            start, _ = tracemalloc.get_traced_memory()
            for number in range(count // 1000):
                directory = union.lookup(union.nodes.root, b"dir%d" % number)
                assert isinstance(directory, Directory)
                union.nodes.reference(directory)
                for name in range(1000):
                    node = union.lookup(directory, b"some-module-%04d.py" % name)
                    assert node is not None
                    assert node.kind == stat.S_IFIFO
                    union.nodes.reference(node)
            visited, _ = tracemalloc.get_traced_memory()
            nodes = len(union.nodes)
            for nodeid in range(2, nodes + 1):
                union.nodes.forget(nodeid, 1)
            forgotten, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        left = len(union.nodes)

    assert nodes == count + count // 1000 + 1
    assert (visited - start) / nodes < 400
    assert left == 1
    assert (forgotten - start) / nodes < 20
