"""What becomes of each entry of a layer; the sections are those of image-spec
layer.md and of the reference notes on OCI layers (1.1 changesets, 1.3 what others
do, 2.2 attacks)."""

import pytest

from snapfs.errors import UnsafeLayerError
from snapfs.layer.admission import NO_NODE, ROOT, Action
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
            [directory(b"a/"), b"a/x", directory(b"a", 0o700)],
            {"a": "directory", "a/x": "file"},
            id="1.1 a directory over a directory merges",
        ),
        pytest.param(
            [b"a", directory(b"a/"), b"a/x"],
            {"a": "directory", "a/x": "file"},
            id="1.1 a directory replaces a file",
        ),
        pytest.param(
            [b"a/b/x", b"a"],
            {"a": "file"},
            id="1.1 a file replaces a directory with all below it",
        ),
        pytest.param(
            [b"a/x", symlink(b"a", b"b"), b"a/y"],
            {"a": "symlink b", "b": "directory implied", "b/y": "file"},
            id="2.2 directory, then symlink, then an entry through it",
        ),
        pytest.param(
            [symlink(b"a", b"/etc"), directory(b"a"), b"a/passwd"],
            {"a": "directory", "a/passwd": "file"},
            id="1.1 a directory replaces a symlink and is not reached through it",
        ),
        pytest.param(
            [b"d/x", b"d", directory(b"d"), b"d/y"],
            {"d": "directory", "d/y": "file"},
            id="1.1 what was replaced does not come back",
        ),
        pytest.param(
            [b"./a", b"/b", b"c//d/", b"e\\f"],
            {
                "a": "file",
                "b": "file",
                "c": "directory implied",
                "c/d": "file",
                "e\\f": "file",
            },
            id="1.3 names are relative to the root",
        ),
        pytest.param(
            [b"a/b/c", directory(b"a")],
            {"a": "directory", "a/b": "directory implied", "a/b/c": "file"},
            id="1.3 implied until an entry names it",
        ),
        pytest.param(
            [b".wh.etc/somefile"],
            {".wh.etc": "directory implied", ".wh.etc/somefile": "file"},
            id="1.1 only the last component makes a whiteout",
        ),
        pytest.param(
            [directory(b".wh.etc/"), b".wh.etc/f"],
            {
                "etc!": "whiteout",
                ".wh.etc": "directory implied",
                ".wh.etc/f": "file",
            },
            id="1.1 a whiteout of any type, and ordinary below its name",
        ),
        pytest.param(
            [
                directory(b".wh..wh.plnk/"),
                b".wh..wh.plnk/5.6",
                b".wh..wh.aufs",
                b"d/.wh..wh.orph/x",
                b"a",
            ],
            {"a": "file"},
            id="1.1 leftovers of AUFS are ignored",
        ),
        pytest.param(
            [b"..data/x", b".hidden", b"a/..b"],
            {
                "..data": "directory implied",
                "..data/x": "file",
                ".hidden": "file",
                "a": "directory implied",
                "a/..b": "file",
            },
            id="names with dots are ordinary",
        ),
    ],
)
def test_entries_make_a_tree(members: Members, shown: dict[str, str]) -> None:
    assert listing(grown(members).index()) == shown


@pytest.mark.parametrize("name", [b"", b".", b"./", b"/", b"//", b"././"])
def test_the_root_entry_gives_the_root_its_attributes(name: bytes) -> None:
    tree = new_tree()

    answer = tree.admit(
        member(name, MemberKind.DIRECTORY, mode=0o711, uid=7, mtime_ns=-5)
    )

    assert (answer.action, answer.node) == (Action.MERGE_DIRECTORY, ROOT)
    assert tree.attributes_of(ROOT).mode == 0o711
    assert tree.attributes_of(ROOT).uid == 7
    assert tree.attributes_of(ROOT).mtime_ns == -5
    assert tree.settle().directories == (ROOT,)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(symlink(b"./", b"/"), id="symlink, CVE-2021-29136"),
        pytest.param(member(b"."), id="file"),
        pytest.param(hard_link(b"/", b"a"), id="hard link"),
        pytest.param(member(b"", MemberKind.FIFO), id="FIFO"),
    ],
)
def test_the_root_is_a_directory(entry: Member) -> None:
    with pytest.raises(UnsafeLayerError, match="is the root of the layer"):
        new_tree().admit(entry)


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"a/.wh.", b"a/.wh.."])
def test_a_whiteout_of_no_name_is_refused(name: bytes) -> None:
    with pytest.raises(UnsafeLayerError, match="no whiteout of a name"):
        new_tree().admit(member(name))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(member(b"f"), b"f/x", id="file"),
        pytest.param(
            member(b"f", MemberKind.BLOCK_DEVICE, device=(8, 0)), b"f/x", id="device"
        ),
        pytest.param(member(b"f", MemberKind.FIFO), b"f/a/b", id="FIFO"),
        pytest.param(member(b"f"), b"f/.wh.x", id="whiteout below a file"),
        pytest.param(hard_link(b"f", b"elsewhere"), b"f/x", id="lower link"),
    ],
)
def test_an_entry_below_a_file_is_refused_naming_both(
    first: Member, then: bytes
) -> None:
    tree = new_tree()
    tree.admit(first)

    with pytest.raises(UnsafeLayerError, match=rf"'{then.decode()}' leads below 'f'"):
        tree.admit(member(then))


def test_a_parent_reference_is_refused_by_default() -> None:
    with pytest.raises(UnsafeLayerError, match=r"'\.\./x'"):
        new_tree().admit(member(b"../x"))


def test_clamped_names_stay_within_the_root_and_are_noted() -> None:
    members: Members = [b"a/b", b"../../x", b"c/d/../e", b"c/d/f", b"a/b/..", b"a/b/g"]

    tree = grown(members[:4], policy=Policy(clamp=True))

    assert tree.index().is_clamped
    assert list(listing(tree.index())) == ["a", "a/b", "c", "c/d", "c/d/f", "c/e", "x"]


def test_a_directory_named_through_its_child_is_not_mistaken_for_it() -> None:
    tree = grown(
        [directory(b"a/b/.."), b"a/b/x", directory(b"c/d/."), b"c/d/y"],
        policy=Policy(clamp=True),
    )

    assert list(listing(tree.index())) == ["a", "a/b", "a/b/x", "c", "c/d", "c/d/y"]


def test_an_index_without_parent_references_is_not_clamped() -> None:
    assert not grown([b"a..b"], policy=Policy(clamp=True)).index().is_clamped


def test_the_answer_names_what_goes_and_what_comes_first() -> None:
    tree = new_tree()

    made = tree.admit(member(b"a/b/c"))
    again = tree.admit(member(b"a/b/c"))
    over = tree.admit(symlink(b"a/b", b"x"))

    assert [tree.path_of(node) for node in made.implied] == [b"a", b"a/b"]
    assert (made.replaces, again.replaces) == (NO_NODE, made.node)
    assert over.replaces == made.implied[1]
    assert tree.settle().removed == (over.replaces, made.node, again.node)


def test_a_merged_directory_has_the_attributes_of_its_last_entry() -> None:
    tree = new_tree()
    tree.admit(member(b"d", MemberKind.DIRECTORY, mode=0o700, xattrs={b"user.a": b"1"}))

    answer = tree.admit(member(b"d/", MemberKind.DIRECTORY, mode=0o1777, uid=9))

    assert answer.action is Action.MERGE_DIRECTORY
    attributes = tree.attributes_of(answer.node)
    assert (attributes.mode, attributes.uid, attributes.xattrs) == (0o1777, 9, {})
