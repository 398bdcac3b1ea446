"""Trees of extreme shape, and layers that vanish, seen through the union."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.fuse.union.node import Directory, Node
from snapfs.fuse.union.union import Union
from snapfs.overlay_format import XattrPrefix, make_whiteout
from support.union_trees import (
    failure_of,
    mount_rows,
    mounted_overlay,
    opened_union,
    union_rows,
)


def found(union: Union, *names: bytes) -> Node:
    node: Node = union.nodes.root
    for name in names:
        assert isinstance(node, Directory)
        child = union.lookup(node, name)
        assert child is not None
        child.lookups = 1
        node = child
    return node


def directory(union: Union, *names: bytes) -> Directory:
    node = found(union, *names)
    assert isinstance(node, Directory)
    return node


@contextlib.contextmanager
def deep_tree(root: Path, depth: int, name: bytes) -> Iterator[None]:
    """Make directories within each other, deeper than any path can say."""
    fd = os.open(root, os.O_RDONLY)
    for level in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        if level == depth - 1:
            os.close(os.open(b"bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    try:
        yield
    finally:
        shutil.rmtree(root / os.fsdecode(name))


@pytest.mark.parametrize("limit", [16, 64, 512])
def test_trees_deeper_than_a_path_can_say_are_reached(
    tmp_path: Path, limit: int
) -> None:
    name = b"d" * 60
    lower, other = tmp_path / "lower", tmp_path / "other"
    lower.mkdir()
    other.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with (
        deep_tree(lower, 300, name),
        deep_tree(other, 200, name),
        opened_union([other, lower], descriptor_limit=limit) as union,
    ):
        bottom = found(union, *[name] * 300, b"bottom")
        assert bottom.parent is not None
        union.descriptors.close()

        assert union.status(bottom)[0].st_size == 0
        assert not union.listing(bottom.parent).is_empty
        assert len(union.descriptors) <= limit

    assert len(os.listdir("/proc/self/fd")) == before


def test_many_directories_are_visited_with_few_descriptors(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    other.mkdir()
    for index in range(100):
        (lower / f"dir{index}").mkdir(parents=True)
        for sub in range(100):
            (lower / f"dir{index}/sub{sub}").mkdir()
            os.mkfifo(lower / f"dir{index}/sub{sub}/f")
    before = len(os.listdir("/proc/self/fd"))
    with opened_union([other, lower], descriptor_limit=64) as union:
        for index in range(100):
            for sub in range(100):
                node = found(union, b"dir%d" % index, b"sub%d" % sub, b"f")
                held = union.directory_fd(union.nodes.root, 1)
                assert union.status(node)[1] == node.ino
                assert held == union.stack.layers[1].root_fd

        assert len(os.listdir("/proc/self/fd")) <= before + 64 + 3
        assert len(union.descriptors) <= 64


def test_a_descriptor_outlives_the_next_calls(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    lower.mkdir()
    (other / "a").mkdir(parents=True)
    name = b"d"
    with (
        deep_tree(lower, 300, name),
        opened_union([other, lower], descriptor_limit=16) as union,
    ):
        first = directory(union, b"a")
        deep = directory(union, *[name] * 300)
        chain: list[Directory] = [deep]
        while chain[-1].parent is not None:
            chain.append(chain[-1].parent)
        union.descriptors.close()

        fd = union.directory_fd(first, 1)
        identity = os.stat(fd).st_ino
        for place in (0, 60, 120, 150, 180, 240):
            union.directory_fd(chain[place], 2)

        assert os.stat(fd).st_ino == identity


def test_a_held_descriptor_is_never_closed(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    other.mkdir()
    for index in range(100):
        (lower / f"d{index}").mkdir(parents=True)
    with opened_union([other, lower], descriptor_limit=16) as union:
        with union.holding(directory(union, b"d0"), 2) as fd:
            for index in range(100):
                union.directory_fd(directory(union, b"d%d" % index), 2)

            assert os.stat(fd).st_ino == (lower / "d0").stat().st_ino

        assert failure_of(os.fstat, fd) == errno.EBADF


def test_names_as_long_as_they_may_be(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    other.mkdir()
    (lower / ("d" * 255)).mkdir(parents=True)
    (lower / ("d" * 255) / ("f" * 255)).write_bytes(b"content")
    with opened_union([other, lower]) as union:
        node = found(union, b"d" * 255, b"f" * 255)

        assert union.status(node)[0].st_size == 7
        assert union.lookup(union.nodes.root, b"e" * 255) is None
        too_long = failure_of(union.lookup, union.nodes.root, b"e" * 256)
        assert too_long == errno.ENAMETOOLONG


def test_a_vanished_layer_gives_an_error(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    other.mkdir()
    (lower / "dir/sub").mkdir(parents=True)
    (lower / "dir/file").write_bytes(b"content")
    gone = (errno.ENOENT, errno.ESTALE, errno.EIO)
    with opened_union([other, lower]) as union:
        sub = directory(union, b"dir", b"sub")
        node = found(union, b"dir", b"file")
        above = directory(union, b"dir")
        shutil.rmtree(lower)

        assert failure_of(union.status, node) in gone
        assert failure_of(union.open_data, node, os.O_RDONLY) in gone
        union.descriptors.close()
        assert failure_of(union.status, node) in gone
        assert failure_of(union.lookup, above, b"other") in gone
        assert failure_of(union.listing, sub) in gone
        assert failure_of(union.status, sub) in gone


def test_forgotten_nodes_are_gone(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    other.mkdir()
    (lower / "dir/sub").mkdir(parents=True)
    (lower / "dir/sub/file").write_bytes(b"content")
    with opened_union([other, lower]) as union:
        nodes = union.nodes
        node = found(union, b"dir", b"sub", b"file")
        sub, top = directory(union, b"dir", b"sub"), directory(union, b"dir")
        dropped: list[Node] = []
        nodes.on_drop.append(dropped.append)

        nodes.forget(top.nodeid, 1)
        nodes.forget(sub.nodeid, 1)

        assert nodes.get(sub.nodeid) is sub  # the file is reached through it

        nodes.reference(node)
        nodes.forget(node.nodeid, 2)

        assert dropped == [node, sub, top]
        assert len(nodes) == 1
        assert not nodes.root.children
        assert len(union.descriptors) == 0
        assert found(union, b"dir").nodeid not in {n.nodeid for n in dropped}


def test_an_opaque_root_ends_the_stack(tmp_path: Path) -> None:
    layers = [tmp_path / name for name in ("a", "b", "c")]
    for layer in layers:
        layer.mkdir()
        (layer / layer.name).touch()
    with opened_union(layers) as union:
        names = {entry[1] for entry in union.listing(union.nodes.root).entries}
        assert names == {b".", b"..", b"a", b"b", b"c"}
    with opened_union(layers, opaque_roots=[layers[1]]) as union:
        names = {entry[1] for entry in union.listing(union.nodes.root).entries}
        assert names == {b".", b"..", b"a", b"b"}
        assert union.lookup(union.nodes.root, b"c") is None


@pytest.mark.root
def test_marks_of_the_other_namespace_mean_nothing(tmp_path: Path) -> None:
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    for layer in (lower, upper):
        (layer / "dir").mkdir(parents=True)
        (layer / "dir" / layer.name).touch()
    os.setxattr(upper / "dir", "user.overlay.opaque", b"y")
    with opened_union([lower], upper, work) as union:
        assert b"dir/lower" in union_rows(union)
    with opened_union([lower], upper, work, prefix=XattrPrefix.USER) as union:
        assert b"dir/lower" not in union_rows(union)
        assert union_rows(union)[b"dir"].xattrs == {}


@pytest.mark.root
def test_a_mount_inside_a_layer_is_not_seen(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    second = tmp_path / "second"
    (tmp_path / "empty").mkdir()
    other.mkdir()
    second.mkdir()
    (lower / "dir").mkdir(parents=True)
    (lower / "dir/below").touch()
    with (
        mounted_overlay([other, second], lower / "dir"),
        opened_union([tmp_path / "empty", lower]) as union,
    ):
        assert set(union_rows(union)) == {b"", b"dir", b"dir/below"}


@pytest.mark.root
def test_a_lower_file_cannot_be_opened_for_writing(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    lower.mkdir()
    other.mkdir()
    (lower / "file").write_bytes(b"content")
    with opened_union([other, lower]) as union:
        node = found(union, b"file")

        assert failure_of(union.open_data, node, os.O_WRONLY) == errno.EROFS
        os.close(union.open_data(node, os.O_RDONLY))


@pytest.mark.root
def test_a_layer_within_another_is_refused_where_it_is_met(tmp_path: Path) -> None:
    lower, other = tmp_path / "lower", tmp_path / "other"
    lower.mkdir()
    (other / "within").mkdir(parents=True)
    with opened_union([lower, other, other / "within"]) as union:
        failure = failure_of(union.lookup, union.nodes.root, b"within")

        assert failure == errno.ELOOP


@pytest.mark.root
def test_hard_links_of_the_upper_are_one_node(tmp_path: Path) -> None:
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    lower.mkdir()
    (upper / "dir").mkdir(parents=True)
    (upper / "one").touch()
    os.link(upper / "one", upper / "dir/two")
    (lower / "low one").touch()
    os.link(lower / "low one", lower / "low two")
    with opened_union([lower], upper, work) as union:
        one, two = found(union, b"one"), found(union, b"dir", b"two")
        low_one, low_two = found(union, b"low one"), found(union, b"low two")

        assert one is two
        assert low_one is not low_two
        assert low_one.ino == low_two.ino

        union.nodes.detach(one, union.nodes.root, b"one")
        (upper / "one").unlink()
        assert union.status(one)[2] == 1
        assert union.lookup(union.nodes.root, b"one") is None

        union.nodes.forget(one.nodeid, 1)
        assert union.nodes.get(one.nodeid) is None
        assert not union.nodes.by_upper_inode
        assert b"two" not in directory(union, b"dir").children


@pytest.mark.root
def test_whiteouts_of_the_lowest_layer_are_hidden(tmp_path: Path) -> None:
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    upper.mkdir()
    (lower / "dir").mkdir(parents=True)
    make_whiteout(bytes(lower / "gone"))
    make_whiteout(bytes(lower / "dir/gone"))
    os.mknod(lower / "dir/null", 0o20666, os.makedev(1, 3))
    with mounted_overlay([lower], tmp_path / "merged", upper, work) as merged:
        expected = mount_rows(merged)
    with opened_union([lower], upper, work) as union:
        assert union_rows(union) == expected
        assert set(expected) == {b"", b"dir", b"dir/null"}
