"""An unpack that fails, is stopped, or meets another: nothing is left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from snapfs.errors import (
    DigestMismatchError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    UnsafeLayerError,
)
from snapfs.image.layout import open_layout
from snapfs.image.resolve import ImageLayer
from snapfs.layer.limits import Limits
from snapfs.manager import SnapshotManager
from snapfs.stopping import Stop
from support.applied_layers import directory, entry
from support.disks import filled, small_disk
from support.layouts import Packing
from support.sandbox import wait_until
from support.stores import opened_store
from support.unpack_images import (
    PATIENCE_S,
    HeldSource,
    Recorder,
    Unpacking,
    layout_of,
    nurseries_of,
    read_image,
    staged_names,
    unpack,
    workers_of,
)

BASE = [directory("etc"), entry("etc/motd", b"base\n")]
TOP = [entry("etc/issue", b"top\n")]


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return layout_of(tmp_path / "image", BASE, TOP)


@pytest.fixture
def held(layout: Path) -> Iterator[HeldSource]:
    with HeldSource(layout) as source:
        yield source
        source.release()


def links_of(count: int, target_bytes: int) -> bytes:
    """Return a tar of symlinks; tarfile would take long to write as many."""
    info = tarfile.TarInfo("000000")
    info.type, info.linkname = tarfile.SYMTYPE, "t" * target_bytes
    member = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    start = len(member) - tarfile.BLOCKSIZE
    pieces = []
    for number in range(count):
        member[start : start + 6] = b"%06d" % number
        member[start + 148 : start + 156] = b" " * 8
        total = sum(member[start : start + tarfile.BLOCKSIZE])
        member[start + 148 : start + 156] = b"%06o\0 " % total
        pieces.append(bytes(member))
    return b"".join(pieces) + bytes(2 * tarfile.BLOCKSIZE)


def blob_of(layout: Path, layer: ImageLayer) -> Path:
    return layout / "blobs/sha256" / layer.descriptor.digest.hex


def at_work(store: SnapshotManager, held: HeldSource) -> Unpacking:
    """Begin an unpack; a process waits for the layer that is held."""
    unpacking = Unpacking(store, held)
    assert held.is_held.wait(PATIENCE_S)
    wait_until(workers_of, "a process that applies a layer")
    return unpacking


def test_a_worker_that_is_killed_ends_the_unpack(
    store: SnapshotManager, held: HeldSource
) -> None:
    unpacking = at_work(store, held)

    workers_of()[0].kill()

    with pytest.raises(UnavailableError, match=r"layer sha256:.* ended with -9"):
        unpacking.outcome()
    assert list(store.walk()) == []
    assert nurseries_of() == []


def test_a_nursery_that_is_killed_ends_the_unpack_and_all_its_processes(
    store: SnapshotManager, held: HeldSource
) -> None:
    unpacking = at_work(store, held)
    workers = workers_of()

    nurseries_of()[0].kill()

    with pytest.raises(UnavailableError, match=r"layer sha256:.* ended; out of memory"):
        unpacking.outcome()
    assert list(store.walk()) == []
    assert nurseries_of() == []
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def test_where_no_process_can_be_had_the_layer_is_named(
    store: SnapshotManager, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(subprocess, "Popen", refuse)

    with (
        open_layout("test", str(layout), "") as source,
        pytest.raises(
            ResourceExhaustedError, match=r"layer sha256:.*: no process can apply it: "
        ),
    ):
        Unpacking(store, source).outcome()

    assert list(store.walk()) == []


def test_a_stopped_unpack_leaves_nothing(
    store: SnapshotManager, held: HeldSource
) -> None:
    stop = Stop()
    unpacking = Unpacking(store, held, stop)
    assert held.is_held.wait(PATIENCE_S)

    stop.ask()
    stop.ask()

    with pytest.raises(UnavailableError, match="stopped"):
        unpacking.outcome()
    assert list(store.walk()) == []
    assert nurseries_of() == []


def test_an_unpack_that_is_stopped_before_it_begins_does_nothing(
    store: SnapshotManager, layout: Path
) -> None:
    stop = Stop()
    stop.ask()

    with (
        open_layout("test", str(layout), "") as source,
        pytest.raises(UnavailableError, match="stopped"),
    ):
        Unpacking(store, source, stop).outcome()

    assert list(store.walk()) == []


def test_two_unpacks_of_one_image_at_once_both_succeed(
    store: SnapshotManager, layout: Path
) -> None:
    with HeldSource(layout) as one, HeldSource(layout) as other:
        unpackings = [Unpacking(store, one), Unpacking(store, other)]
        assert one.is_held.wait(PATIENCE_S)
        assert other.is_held.wait(PATIENCE_S)
        one.release()
        first = unpackings[0].outcome()
        other.release()
        second = unpackings[1].outcome()

    assert first.name == second.name
    assert len(first.made) == 2
    assert (len(second.reused), second.made) == (2, ())
    assert len(list(store.walk())) == 2


def test_two_unpacks_with_two_names_have_one_content(
    store: SnapshotManager, layout: Path
) -> None:
    with HeldSource(layout) as one, HeldSource(layout) as other:
        unpackings = [
            Unpacking(store, one, name="one"),
            Unpacking(store, other, name="other"),
        ]
        assert one.is_held.wait(PATIENCE_S)
        assert other.is_held.wait(PATIENCE_S)
        one.release()
        other.release()
        names = [unpacking.outcome().name for unpacking in unpackings]

    assert names == ["one", "other"]
    assert store.details("one").content == store.details("other").content


def test_a_blob_that_is_not_what_its_digest_says(
    store: SnapshotManager, layout: Path
) -> None:
    layer = read_image(layout).layers[1]
    blob = blob_of(layout, layer)
    content = bytearray(blob.read_bytes())
    content[0x200] ^= 1
    blob.write_bytes(content)

    with pytest.raises(DigestMismatchError, match=str(layer.descriptor.digest)):
        unpack(store, layout)

    assert list(store.walk()) == []


def test_a_blob_that_is_missing(store: SnapshotManager, layout: Path) -> None:
    layer = read_image(layout).layers[1]
    blob_of(layout, layer).unlink()

    with pytest.raises(NotFoundError, match=str(layer.descriptor.digest)):
        unpack(store, layout)

    assert list(store.walk()) == []


def test_a_failure_ends_the_layers_beside_it(
    store: SnapshotManager, layout: Path
) -> None:
    blob_of(layout, read_image(layout).layers[1]).unlink()

    with HeldSource(layout) as held, pytest.raises(NotFoundError):
        Unpacking(store, held).outcome()  # the first layer never gets its rest

    assert list(store.walk()) == []


def test_a_limit_is_refused_with_its_layer(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "one", BASE)
    layer = read_image(layout).layers[0]

    with pytest.raises(UnsafeLayerError, match=str(layer.descriptor.digest)):
        unpack(store, layout, limits=Limits(entries=1))

    assert list(store.walk()) == []


@pytest.mark.slow  # a disk takes half a minute for so many long links
def test_a_layer_that_needs_more_memory_than_it_may_take_is_refused(
    store: SnapshotManager, tmp_path: Path
) -> None:
    layout = layout_of(tmp_path / "many", links_of(40_000, 4000), packing=Packing.GZIP)

    with pytest.raises(ResourceExhaustedError, match="needs more memory than"):
        unpack(store, layout, memory_bytes=1, jobs=1)


def test_an_image_without_layers_is_refused(
    store: SnapshotManager, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgumentError, match="no layers"):
        unpack(store, layout_of(tmp_path / "empty"))


def test_the_observer_hears_of_each_step(store: SnapshotManager, layout: Path) -> None:
    recorder = Recorder()

    unpack(store, layout, recorder)

    for layer in read_image(layout).layers:
        assert recorder.words_of(layer) == ["started", "applied"]
    assert recorder.said[-1] == ("", "publishing")


@pytest.mark.root
def test_a_disk_that_becomes_full_is_named_and_left_clean(tmp_path: Path) -> None:
    big = [entry("big", os.urandom(3 << 20)), entry("more", os.urandom(3 << 20))]
    layout = layout_of(tmp_path / "image", BASE, big)
    with small_disk(tmp_path / "disk") as disk, opened_store(disk / "root") as store:
        with pytest.raises(ResourceExhaustedError, match=r"(?i)no space left"):
            unpack(store, layout)

        assert list(store.walk()) == []
        assert staged_names(disk / "root") == []
        assert store.check() == []


@pytest.mark.root
def test_a_disk_that_is_full_already_is_named(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "image", BASE)
    with small_disk(tmp_path / "disk") as disk, opened_store(disk / "root") as store:
        with filled(disk), pytest.raises(ResourceExhaustedError, match="no space left"):
            unpack(store, layout)

        assert staged_names(disk / "root") == []
        assert store.check() == []
