"""Hard links: image-spec layer.md "Hardlinks"; reference notes on OCI layers 2.2."""

import pytest

from snapfs.errors import UnimplementedError, UnsafeLayerError
from snapfs.layer.admission import Action
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.tree import LayerTree
from snapfs.tar import Member, MemberKind
from support.layer_trees import (
    directory,
    grown,
    hard_link,
    listing,
    member,
    symlink,
)

Members = list[Member | bytes]


def new_tree() -> LayerTree:
    return LayerTree(Limits(), Policy())


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        pytest.param(
            [b"d/a", hard_link(b"b", b"d/a")],
            {"b": "file =b", "d": "directory implied", "d/a": "file =b"},
            id="relative to the root",
        ),
        pytest.param(
            [b"d/a", hard_link(b"d/b", b"/d/a")],
            {"d": "directory implied", "d/a": "file =d/a", "d/b": "file =d/a"},
            id="absolute, as of kaniko",
        ),
        pytest.param(
            [symlink(b"s", b"/etc/shadow"), hard_link(b"b", b"s")],
            {"b": "symlink /etc/shadow =b", "s": "symlink /etc/shadow =b"},
            id="2.2 of a symlink, the symlink itself, CVE-2021-32760",
        ),
        pytest.param(
            [b"d/a", symlink(b"s", b"d"), hard_link(b"b", b"s/a")],
            {
                "b": "file =b",
                "d": "directory implied",
                "d/a": "file =b",
                "s": "symlink d",
            },
            id="2.2 through a symlinked parent",
        ),
        pytest.param(
            [b"a", hard_link(b"b", b"a"), b"a"],
            {"a": "file", "b": "file"},
            id="the inode stays with the other name",
        ),
        pytest.param(
            [b"a", hard_link(b"b", b"a"), b"a", hard_link(b"c", b"b")],
            {"a": "file", "b": "file =b", "c": "file =b"},
            id="a group follows the inode",
        ),
        pytest.param(
            [b"a", hard_link(b"b", b"a"), hard_link(b"a", b"b")],
            {"a": "file =a", "b": "file =a"},
            id="the first name becomes a link",
        ),
        pytest.param(
            [b"a", b"d/x", hard_link(b"d", b"a")],
            {"a": "file =a", "d": "file =a"},
            id="2.2 over a directory",
        ),
        pytest.param(
            [hard_link(b"b", b"usr/bin/perl")],
            {"b": "lower_link usr/bin/perl"},
            id="into a lower layer",
        ),
        pytest.param(
            [hard_link(b"b", b"p"), hard_link(b"c", b"b")],
            {"b": "lower_link p =b", "c": "lower_link p =b"},
            id="of a link into a lower layer",
        ),
        pytest.param(
            [symlink(b"s", b"usr"), hard_link(b"b", b"/s/p")],
            {"b": "lower_link usr/p", "s": "symlink usr"},
            id="into a lower layer through a symlink",
        ),
        pytest.param(
            [hard_link(b"b", b"a"), b"b"],
            {"b": "file"},
            id="a lower link is replaced",
        ),
        pytest.param(
            [hard_link(b"b", b"a"), b"a"],
            {"a": "file", "b": "lower_link a"},
            id="2.2 before its target: what was there then, the lower file",
        ),
        pytest.param(
            [
                member(b"n", MemberKind.CHARACTER_DEVICE, device=(1, 3)),
                hard_link(b"m", b"n"),
            ],
            {"m": "character_device =m", "n": "character_device =m"},
            id="2.2 of a device",
        ),
    ],
)
def test_a_hard_link_is_another_name(members: Members, shown: dict[str, str]) -> None:
    assert listing(grown(members).index()) == shown


@pytest.mark.parametrize(
    ("members", "words"),
    [
        pytest.param([hard_link(b"a", b"a")], "links to itself", id="itself, missing"),
        pytest.param([b"a", hard_link(b"a", b"/a")], "links to itself", id="itself"),
        pytest.param([directory(b"d"), hard_link(b"a", b"d")], "directory", id="dir"),
        pytest.param([hard_link(b"a", b"/")], "the root of the layer", id="root"),
        pytest.param([hard_link(b"a", b"")], "the root of the layer", id="empty"),
        pytest.param(
            [b".wh.x", hard_link(b"a", b".wh.x")], "a whiteout", id="whiteout"
        ),
        pytest.param(
            [hard_link(b"a", b".wh..wh..opq")], "a whiteout", id="opaque mark"
        ),
        pytest.param([hard_link(b"a", b"../../../b")], r"'\.\.'", id="up and out"),
        pytest.param([b"f", hard_link(b"a", b"f/x")], "leads below 'f'", id="file"),
        pytest.param(
            [b"d/f", hard_link(b"d", b"d/f")], "replaces the directory", id="within"
        ),
        pytest.param([hard_link(b"a", b"b\0c")], "holds a NUL", id="NUL"),
    ],
)
def test_a_hard_link_that_cannot_be_is_refused(members: Members, words: str) -> None:
    with pytest.raises(UnsafeLayerError, match=words):
        grown(members)


def test_a_hard_link_into_the_pool_of_aufs_is_not_ours() -> None:
    with pytest.raises(UnimplementedError, match=r"'a' leads into the pool of AUFS"):
        grown([b".wh..wh.plnk/1.2", hard_link(b"a", b".wh..wh.plnk/1.2")])


def test_attributes_of_a_hard_link_entry_do_not_count() -> None:
    tree = new_tree()
    first = tree.admit(member(b"a", mode=0o600, uid=1))

    link = tree.admit(member(b"b", MemberKind.HARDLINK, b"a", mode=0o4777, uid=2))

    assert tree.attributes_of(link.node) == tree.attributes_of(first.node)
    assert tree.attributes_of(link.node).mode == 0o600


def test_the_target_of_a_link_is_a_living_name() -> None:
    tree = new_tree()
    tree.admit(member(b"a"))
    second = tree.admit(hard_link(b"b", b"a"))
    tree.admit(member(b"a"))

    third = tree.admit(hard_link(b"c", b"b"))

    assert (third.action, third.target) == (Action.LINK, second.node)
    assert tree.path_of(third.target) == b"b"
