"""The remote store keeps the contract of the store behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from snapfs.errors import (
    AlreadyExistsError,
    DataLossError,
    DigestMismatchError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.model import (
    Durability,
    Finding,
    Garbage,
    Info,
    Kind,
    NewLayer,
    Owner,
    Severity,
    StoreStatus,
    Usage,
)
from snapfs.remote import RemoteSnapshotter, RemoteStore
from snapfs.snapshotter import Snapshotter, Store
from support.memory_store import MemoryStore
from support.memory_view import ContainerdView
from support.served import served


def commit(store: Snapshotter, name: str, parent: str = "") -> None:
    store.prepare(f"{name}-key", parent)
    store.commit(name, f"{name}-key")


def test_the_clients_are_what_they_stand_for(remote: RemoteStore) -> None:
    store: Store = remote
    snapshotter: Snapshotter = remote

    assert store is snapshotter


@pytest.mark.parametrize("parents", [0, 1, 3])
def test_prepare_view_and_mounts_answer_as_the_store(
    remote: RemoteStore, store: MemoryStore, parents: int
) -> None:
    parent = ""
    for number in range(parents):
        commit(store, f"layer {number}", parent)
        parent = f"layer {number}"

    prepared = remote.prepare("active", parent, {"l": "1", "empty": ""})
    viewed = remote.view("view", parent)

    assert prepared == store.mounts("active") == remote.mounts("active")
    assert viewed == store.mounts("view") == remote.mounts("view")
    assert store.stat("active").labels == {"l": "1"}
    assert store.stat("active").parent == parent
    assert store.stat("view").kind is Kind.VIEW


def test_stat_is_exact_to_the_nanosecond(
    remote: RemoteStore, store: MemoryStore
) -> None:
    store.prepare("a", labels={"containerd.io/snapshot.ref": "sha256:1"})
    store.update(Info("a", labels={"x": "y"}))

    info = remote.stat("a")

    assert info == store.stat("a")
    assert info.updated_ns >= info.created_ns > 10**18


def test_commit_passes_name_labels_and_rebase_on(
    remote: RemoteStore, store: MemoryStore
) -> None:
    commit(store, "base")
    remote.prepare("a", labels={"old": "1"})

    remote.commit("top", "a", {"new": "2"}, parent="base")

    info = store.stat("top")
    assert (info.kind, info.parent, info.labels) == (
        Kind.COMMITTED,
        "base",
        {"new": "2"},
    )
    with pytest.raises(NotFoundError):
        store.stat("a")


def test_update_passes_paths_on_and_returns_the_new_info(
    remote: RemoteStore, store: MemoryStore
) -> None:
    store.prepare("a", labels={"keep": "1", "drop": "2"})

    info = remote.update(Info("a", labels={"add": "3"}), ("labels.add", "labels.drop"))

    assert info == store.stat("a")
    assert info.labels == {"keep": "1", "add": "3"}


def test_update_without_paths_replaces_the_labels(
    remote: RemoteStore, store: MemoryStore
) -> None:
    store.prepare("a", labels={"old": "1"})

    assert remote.update(Info("a", labels={"new": "2"})).labels == {"new": "2"}


def test_usage_and_cleanup_reach_the_store(
    remote: RemoteStore, store: MemoryStore
) -> None:
    store.prepare("a")
    store.view("v")
    assert remote.usage("a") == store.usage("a") != Usage()
    assert remote.usage("v") == Usage()
    remote.remove("v")
    assert store.status().trash_entries == 1

    remote.cleanup()

    assert store.status().trash_entries == 0


def test_walk_yields_what_the_store_has(
    remote: RemoteStore, store: MemoryStore
) -> None:
    for number in range(250):
        store.prepare(f"key {number}", labels={"n": str(number % 2)})

    assert list(remote.walk()) == list(store.walk())
    assert list(remote.walk(["labels.n==1", 'name=="key 0"'])) == list(
        store.walk(["labels.n==1", 'name=="key 0"'])
    )
    assert list(remote.walk(["kind==view"])) == []


ERRORS: list[tuple[str, Callable[[Snapshotter], object], type[SnapfsError]]] = [
    ("stat of nothing", lambda s: s.stat("x"), NotFoundError),
    ("mounts of nothing", lambda s: s.mounts("x"), NotFoundError),
    ("mounts of a committed one", lambda s: s.mounts("base"), FailedPreconditionError),
    ("usage of nothing", lambda s: s.usage("x"), NotFoundError),
    ("remove of nothing", lambda s: s.remove("x"), NotFoundError),
    ("remove of a parent", lambda s: s.remove("base"), FailedPreconditionError),
    ("prepare twice", lambda s: s.prepare("active"), AlreadyExistsError),
    ("prepare on nothing", lambda s: s.prepare("x", "y"), NotFoundError),
    ("prepare on active", lambda s: s.prepare("x", "active"), InvalidArgumentError),
    ("prepare without key", lambda s: s.prepare(""), InvalidArgumentError),
    ("view twice", lambda s: s.view("active"), AlreadyExistsError),
    (
        "a label too long",
        lambda s: s.prepare("x", labels={"k": "v" * 4096}),
        InvalidArgumentError,
    ),
    ("commit of nothing", lambda s: s.commit("n", "x"), NotFoundError),
    ("commit of a view", lambda s: s.commit("n", "view"), FailedPreconditionError),
    ("commit on a taken name", lambda s: s.commit("base", "x"), AlreadyExistsError),
    (
        "commit on another parent",
        lambda s: s.commit("n", "active", parent="other"),
        InvalidArgumentError,
    ),
    ("update of nothing", lambda s: s.update(Info("x")), NotFoundError),
    (
        "update of a parent",
        lambda s: s.update(Info("active"), ("parent",)),
        InvalidArgumentError,
    ),
    ("bad filter", lambda s: s.walk(["name=="]), InvalidArgumentError),
]


@pytest.mark.parametrize(
    ("call", "error_class"),
    [pytest.param(call, cls, id=name) for name, call, cls in ERRORS],
)
def test_errors_are_those_of_the_store(
    remote: RemoteStore,
    store: MemoryStore,
    call: Callable[[Snapshotter], object],
    error_class: type[SnapfsError],
) -> None:
    commit(store, "base")
    store.prepare("active", "base")
    store.view("view", "base")
    before = list(store.walk())

    with pytest.raises(error_class) as there:
        call(store)
    with pytest.raises(error_class) as here:
        call(remote)

    assert type(here.value) is type(there.value)
    assert str(here.value) == str(there.value)
    assert list(store.walk()) == before


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(PermissionDeniedError("p"), PermissionDeniedError),
        pytest.param(ResourceExhaustedError("r"), ResourceExhaustedError),
        pytest.param(UnimplementedError("u"), UnimplementedError),
        pytest.param(UnavailableError("no driver here"), UnavailableError),
        pytest.param(DataLossError("d"), DataLossError),
        pytest.param(DigestMismatchError("d"), DataLossError),
        pytest.param(OSError(28, "No space left"), ResourceExhaustedError),
        pytest.param(ZeroDivisionError("z"), SnapfsError),
    ],
)
def test_errors_that_only_a_real_store_has_arrive_too(
    remote: RemoteStore,
    store: MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: type[SnapfsError],
) -> None:
    def fail(key: str) -> Info:
        raise error

    monkeypatch.setattr(store, "stat", fail)

    with pytest.raises(expected) as caught:
        remote.stat("a")

    assert type(caught.value) is expected
    if isinstance(error, SnapfsError):
        assert str(caught.value) == str(error)


def test_details_of_every_owner_are_seen(
    remote: RemoteStore, store: MemoryStore
) -> None:
    commit(store, "base")
    ContainerdView(store).prepare("theirs")
    store.prepare("ours", "base")

    listed = list(remote.list_details())

    assert listed == list(store.list_details())
    assert {details.owner for details in listed} == set(Owner)
    assert remote.details("ours") == store.details("ours")
    assert list(remote.list_details(["name==ours"])) == [store.details("ours")]
    with pytest.raises(InvalidArgumentError):
        remote.list_details(["name=="])
    with pytest.raises(NotFoundError):
        remote.details("x")


def test_browse_mounts_pass_directories_on(
    remote: RemoteStore, store: MemoryStore
) -> None:
    commit(store, "base")

    assert remote.browse_mounts("base") == store.browse_mounts("base")
    assert remote.browse_mounts(
        "base", upperdir="/u", workdir="/w"
    ) == store.browse_mounts("base", upperdir="/u", workdir="/w")
    with pytest.raises(InvalidArgumentError):
        remote.browse_mounts("base", upperdir="/u")


def test_only_force_removes_what_is_containerds(
    remote: RemoteStore, store: MemoryStore
) -> None:
    ContainerdView(store).prepare("theirs")

    with pytest.raises(FailedPreconditionError, match="cannot remove"):
        remote.remove("theirs")
    remote.force_remove("theirs")

    with pytest.raises(NotFoundError):
        remote.force_remove("theirs")
    assert list(store.walk()) == []


def test_reclaim_says_what_it_did_or_would_do(
    remote: RemoteStore, store: MemoryStore
) -> None:
    store.prepare("a")
    store.remove("a")

    would = remote.reclaim(dry_run=True)
    did = remote.reclaim()

    assert would == did == [Garbage("/memory/snapshots/1", did[0].reason, did[0].usage)]
    assert remote.reclaim() == []


def test_long_answers_of_the_administration_arrive_whole(
    remote: RemoteStore, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 20 MB: more than one message takes. One name is not UTF-8.
    findings = [
        Finding(Severity.ERROR, "missing-directory", f"\udcff{number}", "d" * 2000)
        for number in range(10_000)
    ]
    monkeypatch.setattr(store, "check", lambda: findings)

    assert remote.check() == findings


def test_layers_are_staged_and_published(
    remote: RemoteStore, store: MemoryStore
) -> None:
    first, second = remote.stage(2)
    base = NewLayer("base", first, labels={"k": "v"})
    top = NewLayer("top", second, parent="base", shares="base", root_opaque=True)

    remote.publish([base, top], Durability.IMAGE)

    assert remote.details("base") == store.details("base")
    assert remote.details("top").info.parent == "base"
    assert remote.details("top").content == store.details("base").content
    with pytest.raises(AlreadyExistsError, match="'base'"):
        remote.publish([base])


def test_status_is_the_servers(remote: RemoteStore, store: MemoryStore) -> None:
    status = remote.status()

    assert status == dataclasses.replace(store.status())
    assert isinstance(status, StoreStatus)


def test_text_that_is_not_utf8_is_an_invalid_argument(remote: RemoteStore) -> None:
    odd = "key \udcff"

    for call in (
        lambda: remote.stat(odd),
        lambda: remote.prepare(odd),
        lambda: remote.prepare("a", labels={"k": odd}),
        lambda: remote.view(odd),
        lambda: remote.mounts(odd),
        lambda: remote.commit(odd, "a"),
        lambda: remote.remove(odd),
        lambda: remote.update(Info(odd)),
        lambda: remote.update(Info("a"), (odd,)),
        lambda: remote.usage(odd),
        lambda: remote.walk([odd]),
        lambda: remote.details(odd),
        lambda: remote.list_details([odd]),
        lambda: remote.browse_mounts(odd),
        lambda: remote.force_remove(odd),
    ):
        with pytest.raises(InvalidArgumentError, match="UTF-8"):
            call()


def test_directories_that_are_not_utf8_pass(
    remote: RemoteStore, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def browse(key: str, *, upperdir: str, workdir: str) -> Sequence[object]:
        seen.append((upperdir, workdir))
        return []

    monkeypatch.setattr(store, "browse_mounts", browse)

    remote.browse_mounts("a", upperdir="/\udcff/u", workdir="/\udcff/w")

    assert seen == [("/\udcff/u", "/\udcff/w")]


def test_snapshotter_alone_works_where_there_is_no_administration(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    with served(tmp_path, ContainerdView(store)) as address:
        with RemoteSnapshotter(address) as snapshotter:
            snapshotter.prepare("a")
        with (
            RemoteStore(address) as remote,
            pytest.raises(UnimplementedError),
        ):
            remote.status()

    assert store.details("a").owner is Owner.CONTAINERD


def test_list_is_the_state_at_the_call(remote: RemoteStore, store: MemoryStore) -> None:
    for number in range(500):
        store.prepare(f"key {number}")

    listing: Iterator[Info] = remote.walk()
    store.prepare("later")

    assert len(list(listing)) == 500
