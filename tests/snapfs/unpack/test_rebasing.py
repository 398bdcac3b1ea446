"""Layers that are applied at once, each to a snapshot without a parent."""

from __future__ import annotations

import dataclasses
import gzip
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from snapfs.errors import AlreadyExistsError, DataLossError, UnsafeLayerError
from snapfs.manager import SnapshotManager
from snapfs.manager.containerd_view import ContainerdSnapshotter
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop
from snapfs.unpack.applying import LayerApplier
from snapfs.worker.measuring import measure_tree
from support.applied_layers import Item, directory, entry, tar_of
from support.content import Blobs
from support.stores import fs_of, opened_store
from support.trees import read_tree

pytestmark = pytest.mark.root

BASE = [
    directory("srv", mode=0o711),
    directory("srv/app", mode=0o1777),
    entry("srv/app/old", b"old"),
    entry("etc/passwd", b"root", mode=0o600),
    entry("etc/group", b"root"),
    directory("opt"),
    entry("opt/hidden", b"x"),
]
# A whiteout, an opaque directory, implied directories and a link to a lower file.
TOP = [
    entry("srv/app/new", b"new"),
    entry("srv/app/.wh.old"),
    entry("opt/.wh..wh..opq"),
    entry("opt/shown", b"y"),
    entry("etc/shadow", type_=tarfile.LNKTYPE, link="etc/passwd"),
]


@dataclasses.dataclass
class Fixture:
    """A store as containerd sees it."""

    store: SnapshotManager
    seen: ContainerdSnapshotter
    applier: LayerApplier
    blobs: Blobs

    def extract(self, name: str, items: Sequence[Item], parent: str = "") -> str:
        """Unpack a layer as containerd does; return the key of the active snapshot."""
        key = f"default/7/extract-12-ab {name}"
        mounts = self.seen.prepare(key, parent)
        content = self.blobs.add(gzip.compress(tar_of(items)))
        self.applier.apply(content, mounts, "", is_synced=False, stop=Stop())
        return key

    def tree(self, name: str) -> object:
        return read_tree(fs_of(self.store, name))


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Fixture]:
    with opened_store(tmp_path / "store") as store:
        blobs = Blobs()
        status = store.status()
        prefix = XattrPrefix(status.xattr_prefix)
        applier = LayerApplier(store, status.root, prefix, blobs.open, is_durable=False)
        seen = ContainerdSnapshotter(store, applier.rebaser)
        with applier:
            yield Fixture(store, seen, applier, blobs)
        assert store.check() == []


def one_after_another(at: Fixture, *layers: Sequence[Item]) -> list[str]:
    parent = ""
    names = []
    for number, items in enumerate(layers):
        names.append(f"sequential-{number}")
        at.seen.commit(names[-1], at.extract(names[-1], items, parent))
        parent = names[-1]
    return names


def at_once(at: Fixture, *layers: Sequence[Item]) -> list[str]:
    keys = [
        at.extract(f"parallel-{number}", items) for number, items in enumerate(layers)
    ]
    parent = ""
    names = []
    for number, key in enumerate(keys):
        names.append(f"parallel-{number}")
        at.seen.commit(names[-1], key, parent=parent)
        parent = names[-1]
    return names


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param((BASE, TOP), id="two"),
        pytest.param((BASE, TOP, TOP, [entry(".wh.srv")]), id="four"),
        pytest.param((TOP[:-1], BASE), id="the lowest hides"),
        pytest.param((BASE, [entry(".wh..wh..opq"), entry("all")]), id="opaque root"),
        pytest.param((BASE, [entry(".wh.srv")], [entry("srv/app/x")]), id="renewed"),
        pytest.param(([entry("srv/.wh.only"), entry(".wh.top")],), id="whiteouts only"),
    ],
)
def test_the_result_is_that_of_one_after_another(
    at: Fixture, layers: Sequence[Sequence[Item]]
) -> None:
    expected = one_after_another(at, *layers)

    made = at_once(at, *layers)

    for mine, theirs in zip(made, expected, strict=True):
        assert at.tree(mine) == at.tree(theirs), mine
        ours, other = at.store.details(mine), at.store.details(theirs)
        assert len(ours.lowerdirs) == len(other.lowerdirs)
        assert os.listdir(ours.directory) == os.listdir(other.directory)
        usage = at.store.usage(mine)
        assert usage == measure_tree(ours.content)


def test_the_commit_may_come_after_a_restart(at: Fixture) -> None:
    [_, expected] = one_after_another(at, BASE, TOP)
    keys = [at.extract("below", BASE), at.extract("above", TOP)]

    again = LayerApplier(
        at.store,
        at.store.status().root,
        XattrPrefix(at.store.status().xattr_prefix),
        at.blobs.open,
        is_durable=False,
    )
    seen = ContainerdSnapshotter(at.store, again.rebaser)
    seen.commit("below", keys[0])
    seen.commit("above", keys[1], parent="below")

    assert at.tree("above") == at.tree(expected)


def test_a_commit_that_is_refused_settles_nothing(at: Fixture) -> None:
    at.seen.commit("below", at.extract("below", BASE))
    key = at.extract("above", TOP)
    before = at.tree(key)

    with pytest.raises(AlreadyExistsError):
        at.seen.commit("below", key, parent="below")

    assert at.tree(key) == before
    at.seen.commit("above", key, parent="below")
    assert (fs_of(at.store, "above") / "etc/shadow").read_bytes() == b"root"


def test_a_link_to_nothing_is_refused_at_the_commit(at: Fixture) -> None:
    at.seen.commit("below", at.extract("below", [entry("file")]))
    link = entry("name", type_=tarfile.LNKTYPE, link="nowhere")
    key = at.extract("above", [link])

    with pytest.raises(UnsafeLayerError, match="nowhere"):
        at.seen.commit("above", key, parent="below")

    at.seen.remove(key)


def test_notes_that_are_damaged_are_an_error_with_a_way_out(at: Fixture) -> None:
    key = at.extract("a", TOP[:-1])
    notes = Path(at.store.details(key).directory, "unsettled.json")
    notes.write_bytes(notes.read_bytes()[:-5])

    with pytest.raises(DataLossError, match="unpack the image again"):
        at.seen.commit("a", key)

    at.seen.remove(key)


def test_what_somebody_else_wrote_is_committed_as_it_is(at: Fixture) -> None:
    at.seen.commit("below", at.extract("below", BASE))
    key = "default/9/extract-12-ab other"
    at.seen.prepare(key)
    (fs_of(at.store, key) / "file").write_bytes(b"by another differ")

    at.seen.commit("above", key, parent="below")

    assert list(fs_of(at.store, "above").iterdir()) == [
        fs_of(at.store, "above") / "file"
    ]
    assert at.store.details("above").info.parent == "below"
