"""The file of an index, and the directory that keeps them by diff ID."""

import os
import stat
from pathlib import Path

import pytest

from snapfs.digest import sha256
from snapfs.errors import DataLossError
from snapfs.layer import index_file
from snapfs.layer.index import LayerIndex
from snapfs.layer.index_cache import IndexCache
from support.layer_trees import grown, listing, member, symlink

DIFF_ID = sha256(b"a layer")


def sample() -> LayerIndex:
    return grown(
        [
            member(b"a/b", size=3, xattrs={b"user.x": b"y"}),
            symlink(b"s", b"a"),
            b".wh.c",
        ]
    ).index()


def test_an_index_is_kept_by_diff_id(tmp_path: Path) -> None:
    cache = IndexCache(str(tmp_path))

    cache.save(DIFF_ID, sample())

    path = tmp_path / "indexes" / "sha256" / DIFF_ID.hex
    assert cache.path(DIFF_ID) == str(path)
    assert os.listdir(path.parent) == [DIFF_ID.hex]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    index = cache.load(DIFF_ID)
    assert index is not None
    assert listing(index) == listing(sample())


def test_no_index_is_none(tmp_path: Path) -> None:
    assert IndexCache(str(tmp_path)).load(DIFF_ID) is None


def test_the_index_of_another_layer_is_none(tmp_path: Path) -> None:
    cache = IndexCache(str(tmp_path))
    cache.save(DIFF_ID, sample())
    other = sha256(b"another layer")

    os.rename(cache.path(DIFF_ID), cache.path(other))

    assert cache.load(other) is None


def test_every_damaged_byte_and_every_cut_is_noticed() -> None:
    content = index_file.dump(sample(), DIFF_ID)

    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 0x41
        with pytest.raises(DataLossError):
            index_file.load(bytes(flipped), DIFF_ID)
        with pytest.raises(DataLossError):
            index_file.load(content[:at], DIFF_ID)


def test_a_damaged_file_is_ignored_and_replaced(tmp_path: Path) -> None:
    cache = IndexCache(str(tmp_path))
    cache.save(DIFF_ID, sample())
    Path(cache.path(DIFF_ID)).write_bytes(b"")

    assert cache.load(DIFF_ID) is None
    cache.save(DIFF_ID, sample())
    assert cache.load(DIFF_ID) is not None


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(1, id="before the flag that paths were clamped"),
        pytest.param(3, id="of a snapfs to come"),
    ],
)
def test_another_version_is_ignored_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    cache = IndexCache(str(tmp_path))
    monkeypatch.setattr(index_file, "_VERSION", version)
    cache.save(DIFF_ID, sample())
    monkeypatch.undo()

    content = Path(cache.path(DIFF_ID)).read_bytes()
    with pytest.raises(DataLossError, match="of another form"):
        index_file.load(content, DIFF_ID)
    assert cache.load(DIFF_ID) is None
    cache.save(DIFF_ID, sample())
    assert cache.load(DIFF_ID) is not None


def test_a_failed_save_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = IndexCache(str(tmp_path))
    cache.save(DIFF_ID, sample())

    def full(index: LayerIndex, diff_id: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_file, "dump", full)
    with pytest.raises(OSError, match="No space"):
        cache.save(DIFF_ID, grown([b"x"]).index())

    loaded = cache.load(DIFF_ID)
    assert loaded is not None
    assert listing(loaded) == listing(sample())
    assert os.listdir(os.path.dirname(cache.path(DIFF_ID))) == [DIFF_ID.hex]


def test_equal_layers_give_equal_files() -> None:
    assert index_file.dump(sample(), DIFF_ID) == index_file.dump(sample(), DIFF_ID)
