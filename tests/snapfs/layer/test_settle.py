"""Whiteouts and opaque marks: image-spec layer.md "Whiteouts" and the translation
table of the reference notes on OCI layers (1.2)."""

import itertools

import pytest

from snapfs.errors import UnsafeLayerError
from snapfs.layer.admission import ROOT
from snapfs.tar import Member, MemberKind
from support.layer_trees import directory, grown, hard_link, listing, member, symlink

Members = list[Member | bytes]
OPAQUE = b".wh..wh..opq"


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        pytest.param(
            [b"d/.wh.x"],
            {"d": "directory implied", "d/x!": "whiteout"},
            id="a whiteout alone",
        ),
        pytest.param([b".wh.x", b"x"], {"x": "file"}, id="with a file: just the file"),
        pytest.param(
            [b".wh.x", symlink(b"x", b"y")], {"x": "symlink y"}, id="with a symlink"
        ),
        pytest.param(
            [b".wh.x", hard_link(b"x", b"y")],
            {"x": "lower_link y"},
            id="with a link into a lower layer",
        ),
        pytest.param(
            [b".wh.x", directory(b"x")],
            {"x": "directory opaque"},
            id="with a directory: opaque",
        ),
        pytest.param(
            [b".wh.x", b"x/child"],
            {"x": "directory implied opaque", "x/child": "file"},
            id="with a child only: implied and opaque",
        ),
        pytest.param(
            [directory(b"d"), b"d/" + OPAQUE],
            {"d": "directory opaque"},
            id="an opaque mark",
        ),
        pytest.param(
            [b"d/" + OPAQUE],
            {"d": "directory implied opaque"},
            id="opaque, the directory only implied",
        ),
        pytest.param(
            [b"d/" + OPAQUE, b"d/.wh.x", b"d/e/.wh.y", b"d/e/f"],
            {
                "d": "directory implied opaque",
                "d/e": "directory implied",
                "d/e/f": "file",
            },
            id="no whiteouts in or below an opaque directory",
        ),
        pytest.param(
            [b"d/" + OPAQUE, b"d/e/.wh.y"],
            {"d": "directory implied opaque"},
            id="nothing is made for a whiteout below an opaque directory",
        ),
        pytest.param(
            [b"d/" + OPAQUE, directory(b"d/e"), b"d/e/" + OPAQUE],
            {"d": "directory implied opaque", "d/e": "directory"},
            id="opaque once is enough",
        ),
        pytest.param(
            [b".wh.foo", b"foo/.wh.bar"],
            {"foo!": "whiteout"},
            id="2.2 nested whiteouts: the outer one",
        ),
        pytest.param(
            [b".wh.foo", b"foo/" + OPAQUE],
            {"foo!": "whiteout"},
            id="a whiteout of what is opaque and empty",
        ),
        pytest.param(
            [b".wh.foo", b"foo/.wh.bar", b"foo/baz"],
            {"foo": "directory implied opaque", "foo/baz": "file"},
            id="2.2 nested whiteouts and a child",
        ),
        pytest.param(
            [b".wh.a", directory(b"a"), b"a/b/.wh.c", b"a/b/d"],
            {
                "a": "directory opaque",
                "a/b": "directory implied",
                "a/b/d": "file",
            },
            id="opaque by a whiteout, whiteouts below it are dropped",
        ),
        pytest.param(
            [symlink(b"s", b"d"), b"s/.wh.x"],
            {"d": "directory implied", "d/x!": "whiteout", "s": "symlink d"},
            id="2.2 through a symlink",
        ),
        pytest.param(
            [symlink(b"s", b"d"), b"s/" + OPAQUE],
            {"d": "directory implied opaque", "s": "symlink d"},
            id="2.2 opaque through a symlink",
        ),
        pytest.param(
            [member(b".wh.x", MemberKind.CHARACTER_DEVICE)],
            {"x!": "whiteout"},
            id="1.1 a whiteout of any type",
        ),
        pytest.param(
            [symlink(b".wh.x", b"/etc"), hard_link(b".wh.y", b"x"), b".wh.x"],
            {"x!": "whiteout", "y!": "whiteout"},
            id="2.2 a whiteout as a symlink, as a hard link, and twice",
        ),
    ],
)
def test_marks_act_on_lower_layers_in_any_order(
    members: Members, shown: dict[str, str]
) -> None:
    is_ordered = any(
        isinstance(m, Member) and m.kind is MemberKind.SYMLINK for m in members
    )

    for order in [members] if is_ordered else itertools.permutations(members):
        assert listing(grown(order).index()) == shown


def test_both_orders_of_the_specification_mean_the_same() -> None:
    # image-spec layer.md, "Opaque Whiteout": the entries of its two examples.
    first: Members = [
        directory(b"a/"),
        b"a/" + OPAQUE,
        directory(b"a/b/"),
        directory(b"a/b/c/"),
        b"a/b/c/bar",
    ]
    second: Members = [first[0], first[2], first[3], first[4], first[1]]

    assert (
        listing(grown(first).index())
        == listing(grown(second).index())
        == {
            "a": "directory opaque",
            "a/b": "directory",
            "a/b/c": "directory",
            "a/b/c/bar": "file",
        }
    )


def test_an_opaque_root_cuts_the_chain_of_layers() -> None:
    tree = grown([b"a/x", OPAQUE, b".wh.b", b"a/.wh.y", b"a/" + OPAQUE])

    settlement = tree.settle()

    assert settlement.root_opaque
    assert (settlement.opaque, settlement.whiteouts) == ((), ())
    assert tree.index().is_root_opaque
    assert listing(tree.index()) == {"a": "directory implied", "a/x": "file"}


def test_directories_with_whiteouts_are_marked_and_made_at_the_end() -> None:
    tree = grown([directory(b"d"), b"d/.wh.x", b"d/.wh.y", b"e/f/.wh.z", b".wh.g"])

    settlement = tree.settle()

    assert [tree.path_of(n) for n in settlement.marked] == [b"", b"d", b"e/f"]
    assert [tree.path_of(n) for n in settlement.missing] == [b"e", b"e/f"]
    assert [tree.path_of(n) for n in settlement.implied] == [b"e/f", b"e", b""]
    assert [(tree.path_of(w.directory), w.name) for w in settlement.whiteouts] == [
        (b"d", b"x"),
        (b"d", b"y"),
        (b"e/f", b"z"),
        (b"", b"g"),
    ]


def test_directories_are_settled_children_first_and_the_root_last() -> None:
    tree = grown([directory(b"./"), directory(b"a"), directory(b"a/b"), b"a/c/x"])

    settlement = tree.settle()

    assert [tree.path_of(n) for n in settlement.directories] == [b"a/b", b"a", b""]
    assert settlement.directories[-1] == ROOT
    assert [tree.path_of(n) for n in settlement.implied] == [b"a/c"]


def test_a_directory_only_for_whiteouts_is_made_before_what_comes_into_it() -> None:
    tree = grown([b"d/e/.wh.x", directory(b"d/e"), b"d/e/y"])

    assert tree.settle().missing == ()
    assert listing(tree.index()) == {
        "d": "directory implied",
        "d/e": "directory",
        "d/e/x!": "whiteout",
        "d/e/y": "file",
    }


def test_a_file_in_place_of_a_directory_takes_its_marks_away() -> None:
    assert listing(grown([b"d/.wh.x", b"d/" + OPAQUE, b"d"]).index()) == {"d": "file"}


def test_links_into_lower_layers_come_with_their_targets() -> None:
    tree = grown([directory(b"bin"), hard_link(b"bin/sh", b"/usr/bin/dash")])

    (link,) = tree.settle().lower_links

    assert tree.path_of(link.directory) == b"bin"
    assert (link.name, link.target) == (b"sh", b"usr/bin/dash")


@pytest.mark.parametrize(
    "hiding",
    [
        pytest.param(b"d/.wh.f", id="a whiteout of it"),
        pytest.param(b".wh.d", id="a whiteout of its directory"),
        pytest.param(b"d/" + OPAQUE, id="an opaque directory"),
        pytest.param(OPAQUE, id="an opaque root"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_link_to_what_this_layer_hides_is_refused(
    hiding: bytes, is_first: bool
) -> None:
    link = hard_link(b"new", b"d/f")
    members: Members = [hiding, link] if is_first else [link, hiding]

    with pytest.raises(UnsafeLayerError, match=r"'new' links to 'd/f'.* hides"):
        grown(members)


def test_settling_twice_gives_the_same() -> None:
    tree = grown([b".wh.a", b"a/b", b"c"])

    assert tree.settle() is tree.settle()
    assert listing(tree.index()) == listing(tree.index())
