"""Indexes of layers that nobody unpacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.errors import DigestMismatchError, UnsafeLayerError
from snapfs.image.layout import open_layout
from snapfs.image.resolve import open_image
from snapfs.layer.index import LayerIndex
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Limits
from snapfs.snapshotter import Store
from snapfs.unpack.indexes import layer_index
from support.applied_layers import directory, entry
from support.layer_trees import listing
from support.layouts import Packing
from support.unpack_images import layout_of, unpack

ENTRIES = [directory("a"), entry("a/b", b"content"), entry(".wh.c"), entry("../d")]


def index_of(
    layout: Path, cache: IndexCache, limits: Limits | None = None
) -> LayerIndex:
    with open_layout("test", str(layout), "") as source:
        (layer,) = open_image(source).layers
        return layer_index(source, layer, cache, limits or Limits())


@pytest.mark.parametrize("packing", Packing)
def test_an_index_says_what_the_tar_says_and_is_kept(
    tmp_path: Path, packing: Packing
) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES, packing=packing)
    cache = IndexCache(str(tmp_path / "store"))

    made = index_of(layout, cache)
    kept = index_of(layout, cache)

    assert listing(made) == listing(kept)
    assert listing(made) == {
        "a": "directory",
        "a/b": "file",
        "c!": "whiteout",
        "d": "file",
    }
    assert made.is_clamped
    assert kept.is_clamped


def test_a_kept_index_needs_no_layer(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES)
    cache = IndexCache(str(tmp_path / "store"))
    made = index_of(layout, cache)

    largest = max(layout.glob("blobs/sha256/*"), key=lambda blob: blob.stat().st_size)
    largest.unlink()

    assert listing(index_of(layout, cache)) == listing(made)


def test_the_index_of_an_unpacked_layer_is_there_already(
    store: Store, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES[:3])
    unpack(store, layout)
    cache = IndexCache(store.status().root)

    index = index_of(layout, cache, Limits(entries=1))  # which reading would break

    assert sorted(listing(index)) == ["a", "a/b", "c!"]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        pytest.param(Limits(entries=2), "more than 2 entries", id="entries"),
        pytest.param(
            Limits(ratio_free_bytes=1, ratio=1, plain_bytes=1), "bytes", id="bytes"
        ),
    ],
)
def test_limits_hold_and_nothing_is_kept(
    tmp_path: Path, limits: Limits, words: str
) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES)

    with pytest.raises(UnsafeLayerError, match=words):
        index_of(layout, IndexCache(str(tmp_path / "store")), limits)
    assert not (tmp_path / "store").exists()


def test_a_damaged_layer_has_no_index(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES)
    largest = max(layout.glob("blobs/sha256/*"), key=lambda blob: blob.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[:-1] + b"x")

    with pytest.raises(DigestMismatchError):
        index_of(layout, IndexCache(str(tmp_path / "store")))
    assert not (tmp_path / "store").exists()


def test_an_index_that_cannot_be_kept_is_still_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_of(tmp_path / "image", ENTRIES)

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("snapfs.layer.index_file.dump", full)
    index = index_of(layout, IndexCache(str(tmp_path / "store")))

    assert sorted(listing(index)) == ["a", "a/b", "c!", "d"]
