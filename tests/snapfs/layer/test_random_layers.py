"""Random entries, compared with an oracle that is slow and plain."""

from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.digest import sha256
from snapfs.errors import UnsafeLayerError
from snapfs.layer import index_file
from snapfs.tar import Member, MemberKind
from support.layer_trees import Oracle, directory, grown, listing, member

_DIFF_ID = sha256(b"a layer")
_NAMES = st.sampled_from([b"a", b"b", b"c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(b"/".join)
_TARGETS = st.one_of(
    _PATHS,
    _PATHS.map(lambda path: b"/" + path),
    _PATHS.map(lambda path: b"../" + path),
    st.just(b".."),
)


def _leaf(draw: st.DrawFn) -> bytes:
    parent = draw(st.one_of(st.just(b""), _PATHS.map(lambda path: path + b"/")))
    mark = draw(st.one_of(st.just(b".wh..wh..opq"), _NAMES.map(lambda n: b".wh." + n)))
    return parent + mark


@st.composite
def _members(draw: st.DrawFn) -> Member:
    choice = draw(st.integers(0, 9))
    if choice < 2:
        return member(_leaf(draw))
    path = draw(st.sampled_from([b"", b"./", b"/"])) + draw(_PATHS)
    if choice < 5:
        return member(path)
    if choice < 7:
        return directory(path + draw(st.sampled_from([b"", b"/"])))
    if choice < 8:
        return member(path, MemberKind.SYMLINK, draw(_TARGETS))
    return member(path, MemberKind.HARDLINK, draw(_PATHS))


def _of_tree(members: list[Member]) -> dict[str, str] | None:
    try:
        return listing(grown(members).index())
    except UnsafeLayerError:
        return None


def _of_oracle(members: list[Member]) -> dict[str, str] | None:
    oracle = Oracle()
    try:
        for item in members:
            oracle.admit(item)
        return oracle.listing()
    except UnsafeLayerError:
        return None


@settings(max_examples=600, deadline=None)
@given(st.lists(_members(), max_size=14))
def test_any_sequence_of_entries_means_what_the_oracle_says(
    members: list[Member],
) -> None:
    assert _of_tree(members) == _of_oracle(members)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whiteouts_and_opaque_marks_mean_the_same_anywhere(data: st.DataObject) -> None:
    paths = data.draw(st.lists(_PATHS, max_size=5))
    marks = data.draw(st.lists(st.composite(_leaf)(), max_size=4))
    # One kind for each path, directories where another lies below.
    entries: dict[bytes, Member] = {}
    for path in paths:
        is_directory = any(other.startswith(path + b"/") for other in paths)
        entries[path] = directory(path) if is_directory else member(path)
    kept = [
        mark
        for mark in marks
        if not any(
            item.kind is MemberKind.FILE and mark.startswith(path + b"/")
            for path, item in entries.items()
        )
    ]
    members = [*entries.values(), *map(member, kept)]

    shuffled = data.draw(st.permutations(members))

    assert _of_tree(shuffled) == _of_tree(members) is not None


@settings(max_examples=100, deadline=None)
@given(st.lists(_members(), max_size=14))
def test_any_index_survives_its_file(members: list[Member]) -> None:
    try:
        index = grown(members).index()
    except UnsafeLayerError:
        return

    again = index_file.load(index_file.dump(index, _DIFF_ID), _DIFF_ID)

    assert [again.entry(n) for n in range(len(again))] == [
        index.entry(n) for n in range(len(index))
    ]
