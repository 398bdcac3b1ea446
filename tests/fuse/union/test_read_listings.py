"""Listings keep their offsets, and lookups agree with them."""

from __future__ import annotations

import os
import random
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.fuse.union.indexed import KnownEntries
from snapfs.fuse.union.listing import (
    Entry,
    Listing,
    cookie_of,
    cookies_of,
    with_unique_cookies,
)
from snapfs.fuse.union.node import Directory, Node
from snapfs.overlay_format import make_whiteout
from support.union_trees import opened_union

_names = st.binary(min_size=1, max_size=255)


def listing_of(names: Iterable[bytes]) -> Listing:
    return Listing(dict.fromkeys(names, (8, 1, 7)), 1)


def entries_of(listing: Listing) -> list[Entry]:
    """Return those beside "." and ".."."""
    return listing.entries[2:]


def read_by(listing: Listing, offset: int, count: int) -> tuple[list[bytes], int]:
    start = listing.after(offset)
    entries = listing.entries[max(start, 2) : max(start, 2) + count]
    return [e[1] for e in entries], entries[-1][0] if entries else offset


@given(st.lists(_names, unique=True))
def test_cookies_are_unique_ordered_and_fit_an_offset(names: list[bytes]) -> None:
    cookies = [entry[0] for entry in entries_of(listing_of(names))]

    assert cookies == sorted(set(cookies))
    assert all(2 < cookie < 1 << 63 for cookie in cookies)


@given(st.sets(_names, min_size=1), st.sets(_names), st.booleans(), st.data())
def test_changes_and_reading_anew_give_the_same_cookies(
    before: set[bytes], added: set[bytes], is_listed: bool, data: st.DataObject
) -> None:
    removed = data.draw(st.sets(st.sampled_from(sorted(before))))
    listing = listing_of(before)
    if is_listed:  # its entries are in order then
        assert len(listing.entries) == len(listing)
    for name in added:
        listing.add(name, stat.S_IFREG, 1, 7)
    for name in removed:
        listing.remove(name)
    after = (before | added) - removed

    assert len(listing) == len(after) + 2
    assert all(listing.layer_of(name) is None for name in removed)
    assert all(listing.layer_of(name) == 1 for name in after)
    assert listing.entries == listing_of(after).entries
    assert all(listing.find(name) is None for name in removed)
    assert all(listing.layer_of(name) == 1 for name in after)


def test_a_reader_sees_what_stays_once_while_entries_come_and_go() -> None:
    names = [b"name %d" % number for number in range(1000)]
    staying, going = names[::2], names[1::2]
    listing = listing_of(names)
    chosen = random.Random(1)
    seen: list[bytes] = []
    offset = 0
    while True:
        batch, offset = read_by(listing, offset, 7)
        if not batch:
            break
        seen += batch
        gone = chosen.sample(going, 5)
        listing = listing_of({*names} - {*gone} | {b"new %d" % len(seen)})

    assert len(seen) == len(set(seen))
    assert set(staying) <= set(seen)


def test_names_whose_hashes_collide_have_cookies_of_their_own() -> None:
    # Same length, same CRC: the polynomial itself lies between them.
    one = b"\0" * 5
    two = (1 << 39 | 0b1_0000_0100_1100_0001_0001_1101_1011_0111).to_bytes(5, "big")
    names = [one, two, b"plain"]
    listing = listing_of(names)
    for name in names:
        entry = listing.find(name)
        assert entry is not None
        assert entry[1] == name
    for several in (names, [*names, b""]):
        assert cookies_of(several) == [cookie_of(name) for name in several]
    clash: list[Entry] = [(100, b"b", 8, 1, 1), (100, b"a", 8, 1, 1)]

    assert [entry[0] for entry in with_unique_cookies(sorted(clash))] == [100, 101]
    assert zlib.crc32(one) >= 0


def test_listings_beyond_the_limit_are_dropped_and_read_again(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    for index in range(10):
        (lower / f"d{index}").mkdir(parents=True)
        for name in range(10):
            (lower / f"d{index}/{name}").touch()
    (tmp_path / "other").mkdir()
    with opened_union([tmp_path / "other", lower], listing_limit=30) as union:
        directories = [
            union.lookup(union.nodes.root, b"d%d" % index) for index in range(10)
        ]
        first = directories[0]
        assert isinstance(first, Directory)
        before = union.listing(first)
        for directory in directories:
            assert isinstance(directory, Directory)
            assert len(union.listing(directory)) == 12

        after = union.listing(first)
        assert after is not before
        assert after.entries == before.entries


def test_dots_come_first_with_the_numbers_of_the_directories(tmp_path: Path) -> None:
    (tmp_path / "lower/dir").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with opened_union([tmp_path / "other", tmp_path / "lower"]) as union:
        root = union.nodes.root
        directory = union.lookup(root, b"dir")
        assert isinstance(directory, Directory)
        dot, dot_dot = union.listing(directory).entries

        assert dot[:3] == (1, b".", stat.S_IFDIR >> 12)
        assert dot_dot[:3] == (2, b"..", stat.S_IFDIR >> 12)
        assert union.entry_ino(directory, dot) == directory.ino
        assert union.entry_ino(directory, dot_dot) == root.ino
        assert union.listing(directory).is_empty
        assert union.lookup(directory, b"..") is None


def many_layers(top: Path) -> list[Path]:
    layers = [top / f"layer{index}" for index in range(6)]
    for index, layer in enumerate(layers):
        (layer / "dir").mkdir(parents=True)
        (layer / f"dir/only{index}").write_bytes(b"x" * index)
        (layer / "dir/all").write_bytes(b"x" * index)
    make_whiteout(bytes(layers[1] / "dir/only4"))
    return layers


def test_lookups_answered_by_a_listing_agree_with_the_layers(tmp_path: Path) -> None:
    layers = many_layers(tmp_path)
    names = [b"only%d" % index for index in range(7)] + [b"all", b"absent"]

    def look(node: Node | None) -> tuple[int, int] | None:
        return None if node is None else (node.layer, node.ino)

    with opened_union(layers) as searched:
        directory = searched.lookup(searched.nodes.root, b"dir")
        assert isinstance(directory, Directory)
        by_search = {name: look(searched.lookup(directory, name)) for name in names}
    with opened_union(layers) as listed:
        directory = listed.lookup(listed.nodes.root, b"dir")
        assert isinstance(directory, Directory)
        listed.listing(directory)
        by_listing = {name: look(listed.lookup(directory, name)) for name in names}

    assert by_listing == by_search
    assert by_search[b"only4"] is by_search[b"absent"] is None
    assert by_search[b"all"] == (1, os.stat(layers[0] / "dir/all").st_ino)


def test_a_directory_asked_often_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = many_layers(tmp_path)
    with opened_union(layers) as union:
        directory = union.lookup(union.nodes.root, b"dir")
        assert isinstance(directory, Directory)
        for number in range(500):
            assert union.lookup(directory, b"absent%d" % number) is None

        def refuse(_directory: Directory, _layer: int) -> int:
            raise AssertionError("a layer was asked")

        monkeypatch.setattr(union, "directory_fd", refuse)
        for number in range(500):
            assert union.lookup(directory, b"absent%d" % number) is None


def test_a_copied_up_entry_is_found_in_the_upper_when_it_was_forgotten(
    tmp_path: Path,
) -> None:
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    lower.mkdir()
    upper.mkdir()
    (lower / "file").write_bytes(b"old")
    with opened_union([lower], upper, work) as union:
        root = union.nodes.root
        union.listing(root)
        node = union.lookup(root, b"file")
        assert node is not None
        union.nodes.reference(node)
        (upper / "file").write_bytes(b"newer")
        node.layer = 0
        union.nodes.forget(node.nodeid, 1)

        again = union.lookup(root, b"file")
        assert again is not None
        assert union.status(again)[0].st_size == 5


def test_another_source_than_the_disk_may_know_the_entries(tmp_path: Path) -> None:
    class Known:
        def known(self, path: bytes) -> KnownEntries | None:
            asked.append(path)
            if path == b"dir":
                entries = [(b"hidden", 14, 0), (b"known", 8, 77)]
                return KnownEntries(entries, memoryview(bytes(208)))
            return None

    asked: list[bytes] = []
    layers = [tmp_path / "a", tmp_path / "b"]
    for layer in layers:
        (layer / "dir").mkdir(parents=True)
    (layers[1] / "dir/hidden").touch()
    with opened_union(layers) as union:
        union.stack.layers[1].source = Known()
        union.listing(union.nodes.root)
        directory = union.lookup(union.nodes.root, b"dir")
        assert isinstance(directory, Directory)

        entries = union.listing(directory).entries[2:]

    assert [entry[1:] for entry in entries] == [(b"known", 8, 1, 77)]
    assert asked == [b"", b"dir"]
