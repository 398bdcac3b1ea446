"""Unpacking leaves a directory index beside the content, of what is there at last."""

from __future__ import annotations

import os
from pathlib import Path

from snapfs.layer.dirindex import DirIndex, open_dirindex
from snapfs.layer.dirindex_format import ATTRIBUTES, FILE_NAME, EntryFlag
from snapfs.manager import SnapshotManager
from snapfs.model import SnapshotDetails
from support.applied_layers import Item, directory, entry, hard_link, opened
from support.unpack_images import layout_of, read_image, unpack

BASE = [
    directory("etc", 0o750, owner=(3, 4)),
    entry("etc/motd", b"base\n"),
    entry("etc/gone"),
]
TOP = [entry("etc/issue", b"top\n"), entry("etc/.wh.gone")]  # etc is only implied


def unpacked(
    store: SnapshotManager, directory: Path, *layers: list[Item]
) -> list[SnapshotDetails]:
    """Unpack ``layers`` and return their snapshots, the lowest first."""
    layout = layout_of(directory, *layers)
    unpack(store, layout)
    return [store.details(str(la.chain_id)) for la in read_image(layout).layers]


def index_of(details: SnapshotDetails) -> DirIndex:
    with opened(Path(details.content)) as root:
        index = open_dirindex(os.path.dirname(details.content), root)
    assert index is not None
    return index


def inos_and_modes(index: DirIndex, *path: bytes) -> dict[bytes, tuple[int, ...]]:
    """Return the inode number, mode, owner and group of each entry of a directory."""
    number = index.find(path)
    assert number is not None
    listing = index.listing(number)
    assert listing is not None
    found: dict[bytes, tuple[int, ...]] = {}
    for _, name, attributes, _, _ in listing.walk():
        fields = ATTRIBUTES.unpack(attributes)
        found[name] = (fields[0], fields[9], fields[11], fields[12])
    return found


def on_disk(path: str) -> dict[bytes, tuple[int, ...]]:
    found: dict[bytes, tuple[int, ...]] = {}
    for name in os.listdir(os.fsencode(path)):
        status = os.lstat(os.fsencode(path) + b"/" + name)
        found[name] = (status.st_ino, status.st_mode, status.st_uid, status.st_gid)
    return found


def generations(store: SnapshotManager) -> list[int]:
    rows = store.metadata._connection.execute(
        "SELECT index_generation FROM snapshots ORDER BY snapshot_id"
    ).fetchall()
    return [row[0] for row in rows]


def test_every_layer_has_an_index_of_what_was_published(
    store: SnapshotManager, tmp_path: Path
) -> None:
    snapshots = unpacked(store, tmp_path / "image", BASE, TOP)

    assert generations(store) == [1, 1]
    for details in snapshots:
        with index_of(details) as index:
            assert inos_and_modes(index) == on_disk(details.content)
            expected = on_disk(f"{details.content}/etc")
            assert inos_and_modes(index, b"etc") == expected


def test_index_has_what_lower_layers_decided(
    store: SnapshotManager, tmp_path: Path
) -> None:
    linked = [hard_link("here", "etc/motd")]

    _, top, link = unpacked(store, tmp_path / "image", BASE, TOP, linked)

    with index_of(top) as index:
        _, mode, uid, gid = inos_and_modes(index)[b"etc"]
        assert (mode & 0o7777, uid, gid) == (0o750, 3, 4)
        number = index.find([b"etc"])
        assert number is not None
        listing = index.listing(number)
        assert listing is not None
        position = listing.find(b"gone")
        assert position is not None
        assert listing.entry_flags(position) == EntryFlag.WHITEOUT
    with index_of(link) as index:
        assert inos_and_modes(index) == on_disk(link.content)
        assert b"here" in inos_and_modes(index)


def test_shared_layer_shares_its_index(store: SnapshotManager, tmp_path: Path) -> None:
    alone = [directory("srv"), entry("srv/data")]
    first = unpacked(store, tmp_path / "first", BASE, alone)[-1]

    shared = unpacked(store, tmp_path / "second", [*BASE, entry("x")], alone)[-1]

    assert shared.content == first.content
    assert not os.path.exists(f"{shared.directory}/{FILE_NAME}")
    assert generations(store) == [1, 1, 1, 1]
    with index_of(shared) as index:
        assert inos_and_modes(index, b"srv") == on_disk(f"{first.content}/srv")
