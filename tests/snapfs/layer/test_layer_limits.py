"""Devices, targets, xattrs and numbers; reference notes on OCI layers 2.2, 2.4."""

import pytest

from snapfs.errors import InvalidArgumentError, UnsafeLayerError
from snapfs.layer.admission import Action
from snapfs.layer.limits import Limits, Policy
from snapfs.layer.tree import LayerTree
from snapfs.tar import MemberKind
from support.layer_trees import (
    grown,
    member,
    symlink,
)


def new_tree(**limits: int) -> LayerTree:
    return LayerTree(Limits(**limits), Policy())


@pytest.mark.parametrize(
    ("kind", "device"),
    [
        pytest.param(MemberKind.CHARACTER_DEVICE, (0, 0), id="a fake whiteout"),
        pytest.param(MemberKind.BLOCK_DEVICE, (1 << 12, 0), id="major"),
        pytest.param(MemberKind.CHARACTER_DEVICE, (1, 1 << 20), id="minor"),
        pytest.param(MemberKind.BLOCK_DEVICE, (1 << 40, -1), id="far out"),
    ],
)
def test_a_device_that_cannot_be_is_refused(
    kind: MemberKind, device: tuple[int, int]
) -> None:
    with pytest.raises(UnsafeLayerError, match="'null'"):
        new_tree().admit(member(b"null", kind, device=device))


def test_the_block_device_0_0_is_no_whiteout() -> None:
    answer = new_tree().admit(member(b"b", MemberKind.BLOCK_DEVICE))

    assert answer.action is Action.MAKE


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param(b"", "has no target", id="empty"),
        pytest.param(b"a\0b", "holds a NUL", id="NUL"),
        pytest.param(b"a" * 4096, "has 4096 bytes", id="too long"),
    ],
)
def test_a_symlink_that_cannot_be_is_refused(target: bytes, words: str) -> None:
    with pytest.raises(UnsafeLayerError, match=words):
        new_tree().admit(symlink(b"s", target))


@pytest.mark.parametrize(
    ("xattrs", "words"),
    [
        pytest.param({b"user.%d" % i: b"" for i in range(257)}, "257", id="count"),
        pytest.param({b"user.a": bytes(65537)}, "65537 bytes", id="value"),
        pytest.param(
            {b"user.%d" % i: bytes(65536) for i in range(17)}, "take", id="total"
        ),
        pytest.param({b"": b""}, "impossible name", id="no name"),
        pytest.param({b"user." + b"a" * 251: b""}, "impossible name", id="long name"),
        pytest.param({b"user.a\0": b""}, "impossible name", id="NUL"),
    ],
)
def test_too_many_xattrs_are_refused(xattrs: dict[bytes, bytes], words: str) -> None:
    with pytest.raises(UnsafeLayerError, match=words):
        new_tree().admit(member(b"a", xattrs=xattrs))


def test_entries_are_limited_with_the_directories_that_they_imply() -> None:
    tree = new_tree(entries=5)
    tree.admit(member(b"a/b/c/d"))
    tree.admit(member(b"x"))

    with pytest.raises(UnsafeLayerError, match="more than 5 entries"):
        tree.admit(member(b"x"))


def test_implied_directories_are_limited_within_one_entry() -> None:
    with pytest.raises(UnsafeLayerError, match="more than 100 entries"):
        new_tree(entries=100).admit(member(b"d/" * 200 + b"x"))


def test_names_and_targets_are_limited_in_total() -> None:
    links = [symlink(b"%d" % number, b"t" * 4000) for number in range(5)]

    with pytest.raises(UnsafeLayerError, match="take more than 10000 bytes"):
        grown(links, Limits(text_bytes=10_000))


@pytest.mark.parametrize("name", ["entries", "text_bytes"])
def test_a_limit_beyond_what_the_tree_can_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="2147483648 at most"):
        Limits(**{name: 3 << 30})


def test_a_known_directory_spares_no_check_of_the_name() -> None:
    tree = new_tree()
    tree.admit(member(b"a/b"))

    with pytest.raises(UnsafeLayerError, match="NUL"):
        tree.admit(member(b"a/\0"))
    with pytest.raises(UnsafeLayerError, match="component of 256 bytes"):
        tree.admit(member(b"a/" + b"b" * 256))
    with pytest.raises(UnsafeLayerError, match=r"'\.\.'"):
        tree.admit(member(b"a/.."))
    with pytest.raises(UnsafeLayerError, match="no whiteout"):
        tree.admit(member(b"a/.wh."))
