"""Symlinks of a layer, resolved in memory; reference notes on OCI layers 1.3, 2.2."""

import pytest

from snapfs.errors import UnsafeLayerError
from snapfs.layer.limits import Limits
from snapfs.tar import Member
from support.layer_trees import (
    directory,
    grown,
    listing,
    symlink,
)

Members = list[Member | bytes]


@pytest.mark.parametrize(
    ("links", "name", "reached"),
    [
        pytest.param([(b"s", b"d")], b"s/x", "d/x", id="relative"),
        pytest.param([(b"s", b"/d")], b"s/x", "d/x", id="absolute"),
        pytest.param([(b"a/s", b"../d")], b"a/s/x", "d/x", id="parent"),
        pytest.param([(b"s", b"../../../d")], b"s/x", "d/x", id="up and out"),
        pytest.param([(b"a/s", b"/../../d/.")], b"a/s/x", "d/x", id="absolute and out"),
        pytest.param([(b"s", b"t"), (b"t", b"d")], b"s/x", "d/x", id="chain"),
        pytest.param([(b"s", b"/")], b"s/x", "x", id="the root"),
        pytest.param([(b"s", b"..")], b"s/x", "x", id="above the root"),
        pytest.param(
            [(b"s", b"new/../d")], b"s/x", "d/x", id="through what is missing"
        ),
        pytest.param(
            [(b"s", b"/proc/self/root")], b"s/x", "proc/self/root/x", id="proc"
        ),
        pytest.param([(b"d", b"e"), (b"s", b"d/f")], b"s/x", "e/f/x", id="nested"),
    ],
)
def test_an_entry_below_a_symlink_lands_where_it_leads_in_the_layer(
    links: list[tuple[bytes, bytes]], name: bytes, reached: str
) -> None:
    shown = listing(grown([*(symlink(*link) for link in links), name]).index())

    assert shown[reached] == "file"
    assert not any(path.startswith("new") for path in shown)


@pytest.mark.parametrize(
    "links",
    [
        pytest.param([symlink(b"l0", b"l0")], id="to itself"),
        pytest.param([symlink(b"l0", b"b"), symlink(b"b", b"l0")], id="round"),
        pytest.param(
            [symlink(b"l%d" % i, b"l%d" % (i + 1)) for i in range(41)], id="41 links"
        ),
    ],
)
def test_too_many_symlinks_are_refused(links: list[Member]) -> None:
    with pytest.raises(UnsafeLayerError, match="more than 40 symlinks"):
        grown([*links, b"l0/x"])


def test_forty_symlinks_are_followed() -> None:
    links = [symlink(b"l%d" % i, b"l%d" % (i + 1)) for i in range(40)]

    assert listing(grown([*links, b"l0/x"]).index())["l40/x"] == "file"


def test_a_symlink_at_the_end_of_a_name_is_replaced_not_followed() -> None:
    shown = listing(grown([symlink(b"s", b"d"), b"s"]).index())

    assert shown == {"s": "file"}


def test_a_symlink_to_a_file_has_nothing_below_it() -> None:
    with pytest.raises(
        UnsafeLayerError, match="'s/x' leads below 'f', which is a file"
    ):
        grown([b"f", symlink(b"s", b"f"), b"s/x"])


def test_symlinks_cannot_lead_deeper_than_the_limit() -> None:
    limits = Limits(depth=6)

    with pytest.raises(UnsafeLayerError, match="leads deeper than 6 components"):
        grown([b"a/b/c/d/x", symlink(b"s", b"a/b/c/d"), b"s/e/f/x"], limits)


def test_a_symlink_with_a_component_too_long_is_kept_but_not_followed() -> None:
    with pytest.raises(UnsafeLayerError, match="component of 300 bytes"):
        grown([symlink(b"s", b"n" * 300), b"s/x"])


def test_paths_through_symlinks_are_bounded_in_total() -> None:
    limits = Limits(symlink_steps=50)
    links: Members = [symlink(b"s", b"/".join([b"."] * 20))]

    with pytest.raises(UnsafeLayerError, match="more than 50 steps"):
        grown([*links, *(b"s/%d" % i for i in range(9))], limits)


def test_a_remembered_directory_is_forgotten_with_its_path() -> None:
    # CVE-2025-47290: the path of a directory was remembered, and a symlink followed.
    shown = listing(
        grown(
            [b"a/b/one", b"a/b/two", directory(b"out"), symlink(b"a", b"out"), b"a/b/x"]
        ).index()
    )

    assert shown == {
        "a": "symlink out",
        "out": "directory",
        "out/b": "directory implied",
        "out/b/x": "file",
    }


def test_more_directories_than_are_remembered_are_found_again() -> None:
    names: Members = [b"d%d/%s" % (i, n) for n in (b"x", b"y") for i in range(1500)]

    assert len(listing(grown(names).index())) == 4500
