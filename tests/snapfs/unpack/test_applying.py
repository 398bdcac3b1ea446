"""Layers applied to active snapshots that somebody else prepared."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from snapfs.differ import Content
from snapfs.digest import Digest
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.image.media_types import OCI_LAYER, OCI_LAYER_GZIP
from snapfs.layer.index_cache import IndexCache
from snapfs.manager import SnapshotManager
from snapfs.model import Mount
from snapfs.overlay_format import XattrPrefix
from snapfs.stopping import Stop
from snapfs.unpack.applying import LayerApplier, writable_directory
from snapfs.unpack.processes import LayerProcess
from snapfs.worker.measuring import measure_tree
from support.applied_layers import Item, directory, entry, tar_of
from support.content import Blobs
from support.stores import fs_of, opened_store

pytestmark = pytest.mark.root


@dataclasses.dataclass
class Fixture:
    """A store, a content store, and what applies from one to the other."""

    store: SnapshotManager
    blobs: Blobs
    applier: LayerApplier

    def apply(self, key: str, content: Content, *, stop: Stop | None = None) -> Content:
        return self.applier.apply(
            content,
            self.store.mounts(key),
            "the-namespace",
            is_synced=False,
            stop=stop or Stop(),
        )

    def apply_items(self, key: str, items: Sequence[Item]) -> Content:
        return self.apply(key, self.blobs.add(gzip.compress(tar_of(items))))

    def layer(self, name: str, parent: str, items: Sequence[Item]) -> Path:
        self.store.prepare(f"making {name}", parent)
        self.apply_items(f"making {name}", items)
        self.store.commit(name, f"making {name}")
        return fs_of(self.store, name)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Fixture]:
    with opened_store(tmp_path / "store") as store:
        blobs = Blobs()
        applier = LayerApplier(
            store,
            store.status().root,
            XattrPrefix(store.status().xattr_prefix),
            blobs.open,
            is_durable=True,
        )
        with applier:
            yield Fixture(store, blobs, applier)
        assert store.check() == []


ITEMS = [directory("etc", mode=0o750), entry("etc/hosts", b"localhost", mode=0o600)]


@pytest.mark.parametrize(
    ("media_type", "compress"),
    [
        pytest.param(OCI_LAYER_GZIP, gzip.compress, id="gzip"),
        pytest.param(OCI_LAYER, bytes, id="plain"),
    ],
)
def test_the_answer_is_the_plain_tar(
    at: Fixture, media_type: str, compress: Callable[[bytes], bytes]
) -> None:
    plain = tar_of(ITEMS)
    at.store.prepare("a")

    applied = at.apply("a", at.blobs.add(compress(plain), media_type))

    diff_id = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert applied == Content(OCI_LAYER, diff_id, len(plain))
    assert at.blobs.namespaces == ["the-namespace"]
    fs = fs_of(at.store, "a")
    assert (fs / "etc/hosts").read_bytes() == b"localhost"
    assert stat.S_IMODE((fs / "etc").stat().st_mode) == 0o750
    at.applier.close()  # the index comes after the answer
    assert IndexCache(at.store.status().root).load(Digest(diff_id)) is not None


def test_the_answer_does_not_wait_for_the_index(
    at: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    finish = LayerProcess.finish

    def slow_finish(process: LayerProcess) -> None:
        may_end.wait()
        finish(process)

    monkeypatch.setattr(LayerProcess, "finish", slow_finish)
    at.store.prepare("a")

    at.apply_items("a", ITEMS)

    closing = threading.Thread(target=at.applier.close)
    closing.start()
    at.store.commit("layer", "a")  # meanwhile
    assert closing.is_alive()
    may_end.set()
    closing.join()


def test_directories_that_are_only_implied_look_like_those_below(at: Fixture) -> None:
    at.layer("base", "", [directory("srv", mode=0o700), directory("srv/app", 0o711)])

    upper = at.layer("top", "base", [entry("srv/app/new", b"new")])

    assert stat.S_IMODE((upper / "srv").stat().st_mode) == 0o700
    assert stat.S_IMODE((upper / "srv/app").stat().st_mode) == 0o711


def test_whiteouts_hide_what_is_below_and_nothing_in_the_lowest(at: Fixture) -> None:
    lowest = at.layer("base", "", [entry("kept"), entry(".wh.nothing")])

    upper = at.layer("top", "base", [entry(".wh.kept")])

    assert os.listdir(lowest) == ["kept"]
    status = os.lstat(upper / "kept")
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0


def test_an_opaque_root_hides_every_layer_below(at: Fixture) -> None:
    at.layer("base", "", [entry("old")])
    at.layer("top", "base", [entry(".wh..wh..opq"), entry("new")])

    details = at.store.details("top")

    assert details.lowerdirs == ()
    assert os.listdir(details.content) == ["new"]


def test_two_at_a_time_are_applied_side_by_side(at: Fixture) -> None:
    both = threading.Barrier(2, timeout=60)
    reader = threading.local()

    def meet_once() -> None:
        if not hasattr(reader, "has_met"):
            reader.has_met = True
            both.wait()

    at.blobs.before_read = meet_once
    at.store.prepare("a")
    at.store.prepare("b")
    contents = {key: at.blobs.add(gzip.compress(tar_of([entry(key)]))) for key in "ab"}

    threads = [
        threading.Thread(target=at.apply, args=item) for item in contents.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert os.listdir(fs_of(at.store, "a")) == ["a"]
    assert os.listdir(fs_of(at.store, "b")) == ["b"]


@pytest.mark.parametrize(
    ("change", "error_class"),
    [
        pytest.param({"digest": "sha256:" + "0" * 64}, NotFoundError, id="absent"),
        pytest.param({"size_bytes": 10_000}, DataLossError, id="too short"),
        pytest.param({"size_bytes": 10}, DataLossError, id="too long"),
    ],
)
def test_what_is_not_as_promised_leaves_nothing(
    at: Fixture, change: dict[str, Any], error_class: type[Exception]
) -> None:
    at.store.prepare("a")
    content = at.blobs.add(gzip.compress(tar_of(ITEMS)))

    with pytest.raises(error_class):
        at.apply("a", dataclasses.replace(content, **change))

    assert os.listdir(fs_of(at.store, "a")) == []


def test_other_bytes_than_the_digest_promises_leave_nothing(at: Fixture) -> None:
    content = at.blobs.add(gzip.compress(tar_of(ITEMS)))
    at.blobs.data[content.digest] = gzip.compress(tar_of([*ITEMS, entry("more")]))
    size = len(at.blobs.data[content.digest])
    at.store.prepare("a")

    with pytest.raises(DigestMismatchError):
        at.apply("a", dataclasses.replace(content, size_bytes=size))

    assert os.listdir(fs_of(at.store, "a")) == []


def test_an_entry_that_would_escape_leaves_nothing(at: Fixture) -> None:
    at.store.prepare("a")

    with pytest.raises(UnsafeLayerError, match=r"\.\./escape"):
        at.apply_items("a", [entry("before", b"x"), entry("../escape", b"x")])

    assert os.listdir(fs_of(at.store, "a")) == []
    assert not (fs_of(at.store, "a").parent / "escape").exists()


def test_a_damaged_layer_can_be_tried_again(at: Fixture) -> None:
    at.store.prepare("a")
    with pytest.raises(DataLossError):
        at.apply("a", at.blobs.add(gzip.compress(tar_of(ITEMS))[:-10]))

    at.apply_items("a", ITEMS)

    assert os.listdir(fs_of(at.store, "a")) == ["etc"]


def test_a_caller_that_has_gone_ends_it(at: Fixture) -> None:
    stop = Stop("the call")
    at.blobs.before_read = stop.ask
    at.store.prepare("a")
    blob = gzip.compress(tar_of([entry("large", os.urandom(4 << 20))]))

    with pytest.raises(UnavailableError):
        at.apply("a", at.blobs.add(blob), stop=stop)

    assert os.listdir(fs_of(at.store, "a")) == []


def test_what_is_no_layer_is_for_the_next_differ(at: Fixture) -> None:
    at.store.prepare("a")

    with pytest.raises(UnimplementedError, match="encrypted"):
        at.apply("a", at.blobs.add(b"x", OCI_LAYER_GZIP + "+encrypted"))


def test_a_snapshot_that_holds_something_is_for_the_next_differ(at: Fixture) -> None:
    at.store.prepare("a")
    (fs_of(at.store, "a") / "file").touch()

    with pytest.raises(UnimplementedError, match="not empty"):
        at.apply_items("a", ITEMS)

    assert os.listdir(fs_of(at.store, "a")) == ["file"]


@pytest.mark.parametrize("place", ["elsewhere", "snapshots/99", "snapshots/x", ""])
def test_mounts_of_others_are_for_the_next_differ(at: Fixture, place: str) -> None:
    root = at.store.status().root
    mounts = [Mount("bind", f"{root}/{place}/fs", options=("rw", "rbind"))]

    with pytest.raises(UnimplementedError, match="this store"):
        at.applier.apply(
            at.blobs.add(gzip.compress(tar_of(ITEMS))),
            mounts,
            "",
            is_synced=False,
            stop=Stop(),
        )


def test_a_committed_snapshot_is_never_written_to(at: Fixture) -> None:
    at.store.prepare("a")
    mounts = at.store.mounts("a")
    at.store.commit("c", "a")

    with pytest.raises(UnimplementedError):
        at.applier.apply(
            at.blobs.add(gzip.compress(tar_of(ITEMS))),
            mounts,
            "",
            is_synced=True,
            stop=Stop(),
        )

    assert os.listdir(fs_of(at.store, "c")) == []


def test_one_snapshot_takes_one_layer_at_a_time(at: Fixture) -> None:
    at.store.prepare("a")
    content = at.blobs.add(gzip.compress(tar_of(ITEMS)))
    refused: list[Exception] = []

    def apply_again() -> None:
        at.blobs.before_read = lambda: None
        try:
            at.apply("a", content)
        except FailedPreconditionError as error:
            refused.append(error)

    at.blobs.before_read = apply_again
    at.apply("a", content)

    assert refused
    assert os.listdir(fs_of(at.store, "a")) == ["etc"]


def test_a_hard_link_of_a_lower_file_is_a_copy(at: Fixture) -> None:
    at.layer("base", "", [entry("file", b"content")])

    upper = at.layer("top", "base", [entry("name", type_=tarfile.LNKTYPE, link="file")])

    assert (upper / "name").read_bytes() == b"content"


def test_the_usage_is_known_without_a_walk(at: Fixture) -> None:
    items = [*ITEMS, entry("large", os.urandom(100_000)), entry(".wh.gone")]
    at.layer("base", "", [entry("gone")])

    upper = at.layer("top", "base", items)

    known = at.store.details("top").usage
    assert known == measure_tree(str(upper))
    assert known == at.store.usage("top")


def test_what_is_written_after_the_layer_is_counted(at: Fixture) -> None:
    at.store.prepare("a")
    at.apply_items("a", ITEMS)

    at.store.mounts("a")
    (fs_of(at.store, "a") / "more").write_bytes(b"x" * 5000)
    at.store.commit("c", "a")

    assert at.store.details("c").usage is None
    assert at.store.usage("c") == measure_tree(str(fs_of(at.store, "c")))


def test_what_the_next_differ_applies_is_counted(at: Fixture) -> None:
    at.store.prepare("a")
    mounts = at.store.mounts("a")
    at.apply_items("a", ITEMS)
    content = at.blobs.add(gzip.compress(tar_of(ITEMS)))

    with pytest.raises(UnimplementedError, match="not empty"):
        at.applier.apply(content, mounts, "", is_synced=False, stop=Stop())
    at.store.commit("c", "a")

    assert at.store.details("c").usage is None


def test_a_copy_of_a_lower_file_is_counted(at: Fixture) -> None:
    at.layer("base", "", [entry("file", b"content")])

    upper = at.layer("top", "base", [entry("name", type_=tarfile.LNKTYPE, link="file")])

    assert at.store.usage("top") == measure_tree(str(upper))


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        pytest.param([Mount("bind", "/a/fs", options=("rw",))], "/a/fs", id="bind"),
        pytest.param([Mount("bind", "/a/fs", options=("ro",))], "", id="read-only"),
        pytest.param(
            [Mount("overlay", "overlay", options=("workdir=/w", r"upperdir=/a\:b"))],
            "/a:b",
            id="overlay",
        ),
        pytest.param(
            [Mount("overlay", "overlay", options=("lowerdir=/a",))], "", id="a view"
        ),
        pytest.param([], "", id="none"),
        pytest.param([Mount("bind", "/a"), Mount("bind", "/b")], "", id="two"),
    ],
)
def test_changes_go_to_one_directory(mounts: list[Mount], found: str) -> None:
    assert writable_directory(mounts) == found
