"""The index of a layer: look-ups, listings, totals, memory."""

import sys

import pytest

from snapfs.layer.admission import ROOT
from snapfs.layer.index import BLOBS, COLUMNS, LayerIndex
from snapfs.layer.kinds import Kind
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.nodes import Nodes
from snapfs.layer.tree import LayerTree
from snapfs.tar import MemberKind
from support.layer_trees import directory, grown, hard_link, member, symlink


def sample() -> LayerIndex:
    return grown(
        [
            member(b"./", MemberKind.DIRECTORY, mode=0o711),
            directory(b"etc"),
            member(b"etc/b", mode=0o4755, uid=5, size=10, mtime_ns=-1, data_offset=512),
            hard_link(b"etc/a.link", b"etc/b"),
            symlink(b"etc/l", b"../b"),
            member(b"etc/null", MemberKind.CHARACTER_DEVICE, device=(1, 3)),
            member(b"etc/pipe", MemberKind.FIFO),
            member(b"etc.d/x", size=7, xattrs={b"user.b": b"2", b"user.a": b"\0"}),
            member(b"etc/sparse", size=1 << 40, sparse=((0, 5), (4096, 1))),
            hard_link(b"low", b"/bin/sh"),
            b".wh.gone",
        ]
    ).index()


def test_an_entry_holds_all_that_the_tar_says() -> None:
    index = sample()

    node = index.lookup(b"etc/b")

    assert node is not None
    entry = index.entry(node)
    assert (entry.name, entry.kind, entry.mode) == (b"b", Kind.FILE, 0o4755)
    assert (entry.uid, entry.gid, entry.size_bytes) == (5, 5, 10)
    assert (entry.mtime_ns, entry.data_offset) == (-1, 512)
    assert (entry.xattrs, entry.sparse, entry.device) == ({}, None, (0, 0))
    assert index.entry(ROOT).mode == 0o711


@pytest.mark.parametrize(
    ("path", "kind", "target", "device"),
    [
        (b"etc/l", Kind.SYMLINK, b"../b", (0, 0)),
        (b"low", Kind.LOWER_LINK, b"bin/sh", (0, 0)),
        (b"etc/null", Kind.CHARACTER_DEVICE, b"", (1, 3)),
        (b"etc/pipe", Kind.FIFO, b"", (0, 0)),
        (b"gone", Kind.WHITEOUT, b"", (0, 0)),
    ],
)
def test_special_entries_hold_what_is_theirs(
    path: bytes, kind: Kind, target: bytes, device: tuple[int, int]
) -> None:
    index = sample()

    node = index.lookup(path)

    assert node is not None
    entry = index.entry(node)
    assert (entry.kind, entry.link_target, entry.device) == (kind, target, device)
    assert entry.data_offset == 0


def test_xattrs_and_sparse_maps_are_kept() -> None:
    index = sample()

    plain, sparse = index.lookup(b"etc.d/x"), index.lookup(b"etc/sparse")

    assert plain is not None
    assert sparse is not None
    assert index.xattrs(plain) == {b"user.a": b"\0", b"user.b": b"2"}
    assert index.sparse(plain) is None
    assert index.sparse(sparse) == ((0, 5), (4096, 1))
    assert index.xattrs(sparse) == {}


def test_a_sparse_file_without_data_is_still_sparse() -> None:
    index = grown([member(b"hole", size=99, sparse=())]).index()

    assert index.sparse(1) == ()


def test_all_names_of_a_file_hold_its_attributes() -> None:
    index = sample()

    first, second = index.lookup(b"etc/a.link"), index.lookup(b"etc/b")

    assert first is not None
    assert second is not None
    assert index.link_groups() == {index.groups[first]: [first, second]}
    assert index.data[first] == index.data[second] == 512
    assert index.modes[first] == 0o4755


def test_a_walk_is_in_order_of_paths_by_component() -> None:
    index = sample()

    assert [path for path, _ in index.walk()] == [
        b"etc",
        b"etc/a.link",
        b"etc/b",
        b"etc/l",
        b"etc/null",
        b"etc/pipe",
        b"etc/sparse",
        b"etc.d",
        b"etc.d/x",
        b"gone",
        b"low",
    ]
    assert all(index.lookup(path) == node for path, node in index.walk())
    assert all(index.path(node) == path for path, node in index.walk())


def test_a_walk_can_start_anywhere() -> None:
    index = sample()
    node = index.lookup(b"etc.d")

    assert node is not None
    assert [path for path, _ in index.walk(node)] == [b"etc.d/x"]


@pytest.mark.parametrize(
    "path", [b"etc/zzz", b"a", b"zzz", b"etc/b/c", b"etc/l/x", b"..", b"etc/../low"]
)
def test_what_is_not_there_is_not_found(path: bytes) -> None:
    assert sample().lookup(path) is None


@pytest.mark.parametrize("path", [b"", b"/", b"./", b"."])
def test_the_root_is_found(path: bytes) -> None:
    assert sample().lookup(path) == ROOT


def test_children_are_sorted_by_their_bytes() -> None:
    names = [b"b", b"B", b"a", b"\xff", b"a.b", b"aa", b"-"]
    index = grown([b"d/" + name for name in names]).index()
    node = index.lookup(b"d")

    assert node is not None
    assert [index.name(child) for child in index.children(node)] == sorted(names)
    assert not index.children(index.children(node)[0])


def test_totals_count_a_file_once() -> None:
    stats = sample().stats()

    assert (stats.entries, stats.whiteouts) == (11, 1)
    assert stats.size_bytes == 10 + 7 + (1 << 40)


def test_an_empty_layer_has_a_root() -> None:
    index = grown([]).index()

    assert len(index) == 1
    assert index.entry(ROOT).is_implied
    assert list(index.walk()) == []


def _bytes_of_tree(nodes: Nodes) -> int:
    parts = [getattr(nodes, slot) for slot in Nodes.__slots__]
    return sum(map(sys.getsizeof, parts)) + sys.getsizeof(nodes.extra.data)


def _bytes_of_index(index: LayerIndex) -> int:
    return sum(getattr(index, part).nbytes for part in (*COLUMNS, *BLOBS))


@pytest.mark.slow
@pytest.mark.parametrize("siblings", [1, 12, 200_000])
def test_200000_entries_take_less_than_200_bytes_each(siblings: int) -> None:
    count = 200_000
    tree = LayerTree(Limits(), Policy())
    for number in range(count):
        if siblings == 1:
            tree.admit(directory(b"dir-%06d/" % number))
        else:
            name = b"package-%06d/module-%06d.py" % (number // siblings, number)
            tree.admit(member(name, size=1000, data_offset=number * 1024))

    index = tree.index()

    assert len(index) >= count
    assert _bytes_of_tree(tree.nodes) + _bytes_of_index(index) < 200 * count
    assert _bytes_of_index(index) < 100 * count


def test_equal_xattrs_are_stored_once() -> None:
    label = {b"security.selinux": b"system_u:object_r:container_file_t:s0"}

    tree = grown([member(b"%d" % number, xattrs=label) for number in range(500)])

    assert len(tree.nodes.extra.data) < 100
    assert tree.index().xattrs(500) == label
