"""What a store has already is reused: on the same chain, and on another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.errors import AlreadyExistsError, FailedPreconditionError
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from snapfs.manager import SnapshotManager
from snapfs.model import SnapshotDetails
from support.applied_layers import Item, directory, entry, hard_link
from support.stores import commit_layer
from support.unpack_images import Recorder, layout_of, read_image, unpack

BASE = [directory("etc"), entry("etc/motd", b"base\n")]
TOP = [entry("etc/issue", b"top\n")]  # etc is only implied


def details_of(store: SnapshotManager, layout: Path) -> list[SnapshotDetails]:
    """Return the snapshots of an image, the lowest first."""
    return [store.details(str(la.chain_id)) for la in read_image(layout).layers]


def test_an_image_becomes_a_chain_named_by_chain_ids(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE, TOP)

    unpacked = unpack(store, layout)

    base, top = details_of(store, layout)
    assert unpacked.name == top.info.name
    assert (base.info.parent, top.info.parent) == ("", base.info.name)
    assert Path(base.content, "etc/motd").read_bytes() == b"base\n"
    assert Path(top.content, "etc/issue").read_bytes() == b"top\n"
    assert top.usage is not None
    assert top.usage.inodes == 3


def test_the_same_image_is_there_at_once(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE, TOP)
    first = unpack(store, layout)
    recorder = Recorder()

    second = unpack(store, layout, recorder)

    assert second.name == first.name
    assert second.made == ()
    assert [word for _, word in recorder.said] == ["reused", "reused"]


def test_what_is_common_below_is_reused_and_the_rest_made(
    store: SnapshotManager, tmp_path: Path
) -> None:
    unpack(store, layout_of(tmp_path / "first", BASE, TOP))
    other = layout_of(tmp_path / "second", BASE, [entry("etc/other")])

    unpacked = unpack(store, other)

    base, top = read_image(other).layers
    assert unpacked.reused == (base,)
    assert [made.layer for made in unpacked.made] == [top]


def test_a_layer_on_another_base_shares_what_is_equal(
    store: SnapshotManager, tmp_path: Path
) -> None:
    first = layout_of(tmp_path / "first", BASE, TOP)
    second = layout_of(tmp_path / "second", [*BASE, entry("more")], TOP)
    unpack(store, first)
    recorder = Recorder()

    unpacked = unpack(store, second, recorder)

    _, made = unpacked.made
    assert made.shares == details_of(store, first)[1].info.name
    assert made.applied is None
    contents = [details_of(store, layout)[1].content for layout in (first, second)]
    assert contents[0] == contents[1]
    assert recorder.words_of(read_image(second).layers[1]) == ["reused"]


@pytest.mark.parametrize(
    "etc",
    [
        pytest.param([directory("etc", 0o700)], id="mode"),
        pytest.param([directory("etc", owner=(1, 2))], id="owner"),
        pytest.param([directory("etc", xattrs={"user.a": b"b"})], id="xattr"),
        pytest.param([directory("other")], id="missing"),
    ],
)
@pytest.mark.root
def test_an_implied_directory_that_differs_below_is_not_shared(
    store: SnapshotManager, tmp_path: Path, etc: list[Item]
) -> None:
    first = layout_of(tmp_path / "first", BASE, TOP)
    second = layout_of(tmp_path / "second", etc, TOP)
    unpack(store, first)

    _, made = unpack(store, second).made

    assert made.shares == ""
    assert made.applied is not None
    base, top = details_of(store, second)
    if os.path.exists(f"{base.content}/etc"):
        lower, upper = os.stat(f"{base.content}/etc"), os.stat(f"{top.content}/etc")
        assert (upper.st_mode, upper.st_uid) == (lower.st_mode, lower.st_uid)


def test_a_shared_layer_is_removed_with_its_last_user(
    store: SnapshotManager, tmp_path: Path
) -> None:
    first = layout_of(tmp_path / "first", BASE, TOP)
    second = layout_of(tmp_path / "second", [*BASE, entry("more")], TOP)
    unpack(store, first)
    unpack(store, second)

    for details in reversed(details_of(store, first)):
        store.remove(details.info.name)
    store.reclaim()

    content = details_of(store, second)[1].content
    assert Path(content, "etc/issue").read_bytes() == b"top\n"


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(Policy(devices=DevicePolicy.SKIP), id="devices"),
        pytest.param(Policy(setuid=SetuidPolicy.STRIP), id="setuid"),
        pytest.param(Policy(xattrs=()), id="xattrs"),
    ],
)
def test_a_layer_under_another_policy_is_not_shared(
    store: SnapshotManager, tmp_path: Path, policy: Policy
) -> None:
    unpack(store, layout_of(tmp_path / "first", BASE, TOP))
    second = layout_of(tmp_path / "second", [*BASE, entry("more")], TOP)

    _, made = unpack(store, second, policy=policy).made

    assert made.shares == ""


def test_a_chain_that_another_policy_made_is_not_taken_for_this_one(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE, TOP)
    unpack(store, layout)

    with pytest.raises(FailedPreconditionError, match="with other options for devices"):
        unpack(store, layout, policy=Policy(setuid=SetuidPolicy.STRIP))


def test_a_shared_layer_can_be_shared_on_after_the_first_is_gone(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layouts = [
        layout_of(tmp_path / str(number), [*BASE, entry(f"more{number}")], TOP)
        for number in range(3)
    ]
    unpack(store, layouts[0])
    unpack(store, layouts[1])
    for details in reversed(details_of(store, layouts[0])):
        store.remove(details.info.name)

    _, made = unpack(store, layouts[2]).made

    assert made.shares == details_of(store, layouts[1])[1].info.name


def test_without_its_index_a_layer_is_applied_again(
    store: SnapshotManager, tmp_path: Path
) -> None:
    unpack(store, layout_of(tmp_path / "first", BASE, TOP))
    for path in tmp_path.glob("root/**/*index*/**/*"):
        if path.is_file():
            path.unlink()
    second = layout_of(tmp_path / "second", [*BASE, entry("more")], TOP)

    _, made = unpack(store, second).made

    assert made.shares == ""


def test_a_layer_with_copies_of_lower_files_is_never_shared(
    store: SnapshotManager, tmp_path: Path
) -> None:
    linking = [hard_link("etc/copy", "etc/motd")]
    unpack(store, layout_of(tmp_path / "first", BASE, linking))
    second = layout_of(tmp_path / "second", [*BASE, entry("more")], linking)

    _, made = unpack(store, second).made

    assert made.shares == ""
    content = details_of(store, second)[1].content
    assert Path(content, "etc/copy").read_bytes() == b"base\n"


def test_a_layer_that_is_twice_in_a_chain_is_applied_twice(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE, TOP, BASE, TOP)

    unpacked = unpack(store, layout)

    assert [made.shares for made in unpacked.made] == [""] * 4
    contents = {details.content for details in details_of(store, layout)}
    assert len(contents) == 4


def test_layers_that_the_chain_has_below_are_not_shared_with_itself(
    store: SnapshotManager, tmp_path: Path
) -> None:
    unpack(store, layout_of(tmp_path / "first", BASE, TOP))
    layout = layout_of(tmp_path / "image", BASE, TOP, BASE, TOP)

    unpacked = unpack(store, layout)

    assert len(unpacked.reused) == 2
    contents = {details.content for details in details_of(store, layout)}
    assert len(contents) == 4


def test_a_name_is_one_more_snapshot_of_the_whole_image(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE, TOP)

    unpacked = unpack(store, layout, name="app")
    again = unpack(store, layout, name="app")
    other = unpack(store, layout, name="other")

    assert (unpacked.name, again.name, other.name) == ("app", "app", "other")
    base, top = details_of(store, layout)
    for name in ("app", "other"):
        named = store.details(name)
        assert (named.content, named.lowerdirs) == (top.content, top.lowerdirs)
        assert named.info.parent == base.info.name


def test_a_name_that_is_something_else_is_refused(
    store: SnapshotManager, tmp_path: Path
) -> None:
    commit_layer(store, "app")
    layout = layout_of(tmp_path / "image", BASE)

    with pytest.raises(AlreadyExistsError, match="'app' already exists"):
        unpack(store, layout, name="app")
    unpack(store, layout)
    with pytest.raises(AlreadyExistsError, match="'app' already exists"):
        unpack(store, layout, name="app")


def test_a_chain_id_that_is_an_active_snapshot_is_refused(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", BASE)
    store.prepare(str(read_image(layout).layers[0].chain_id))

    with pytest.raises(FailedPreconditionError, match="not committed; remove it"):
        unpack(store, layout)
