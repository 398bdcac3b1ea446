"""Encoded infos: kept while they are true, and no longer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from snapfs.api import convert, methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.model import Info, Kind
from snapfs.service import encoded_infos
from snapfs.service.encoded_infos import EncodedInfos
from snapfs.service.servicer import SnapshotsServicer
from support.memory_store import MemoryStore


def listed(servicer: SnapshotsServicer, *filters: str) -> list[Info]:
    raw: Iterator[bytes] = servicer.list(pb.ListSnapshotsRequest(filters=filters))
    return [
        convert.info_from_proto(info)
        for response in raw
        for info in methods.LIST.response.FromString(response).info
    ]


def test_one_encoding_is_the_response_of_each_call_with_an_info() -> None:
    infos = EncodedInfos()
    a = Info("a", "p", Kind.VIEW, -1, 2, {"label": "value"})
    b = Info("b")

    one, two = infos.response(a), infos.response(b)

    assert convert.info_from_proto(pb.StatSnapshotResponse.FromString(one).info) == a
    assert convert.info_from_proto(pb.UpdateSnapshotResponse.FromString(one).info) == a
    both = pb.ListSnapshotsResponse.FromString(one + two).info
    assert [convert.info_from_proto(info) for info in both] == [a, b]


def test_the_same_info_is_encoded_once_and_an_equal_one_anew() -> None:
    infos = EncodedInfos()
    info = Info("a")

    first = infos.response(info)

    assert infos.response(info) is first
    assert infos.response(dataclasses.replace(info)) is not first
    assert len(infos) == 1


def test_changed_info_is_not_answered_from_what_was_kept() -> None:
    infos = EncodedInfos()
    infos.response(Info("a"))

    changed = infos.response(Info("a", labels={"x": "y"}))

    assert pb.StatSnapshotResponse.FromString(changed).info.labels == {"x": "y"}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded_infos, "_MAX_KEPT", 10)
    infos = EncodedInfos()

    for number in range(25):
        infos.response(Info(f"k{number}"))
    kept = len(infos)
    infos.response(Info("large", labels={"x": "y" * 5000}))

    assert 0 < kept <= 10
    assert len(infos) == kept


def test_snapshots_that_are_gone_are_forgotten() -> None:
    store = MemoryStore()
    servicer = SnapshotsServicer(store)
    infos = servicer._infos
    for key in ("a", "b", "c", "d"):
        store.prepare(key)
    everything = [info.name for info in listed(servicer)]
    kept = len(infos)

    servicer.remove(pb.RemoveSnapshotRequest(key="a"))
    servicer.commit(pb.CommitSnapshotRequest(name="B", key="b"))
    after_calls = len(infos)
    store.remove("c")  # by another way in
    filtered = [info.name for info in listed(servicer, "kind==active")]
    after_filter = len(infos)
    left = {info.name: info.kind for info in listed(servicer)}

    assert sorted(everything) == ["a", "b", "c", "d"]
    assert (kept, after_calls, after_filter, len(infos)) == (4, 2, 2, 2)
    assert filtered == ["d"]
    assert left == {"B": Kind.COMMITTED, "d": Kind.ACTIVE}


def test_list_tells_the_labels_of_now() -> None:
    store = MemoryStore()
    servicer = SnapshotsServicer(store)
    store.prepare("a", labels={"x": "old"})
    before = listed(servicer)
    request = pb.UpdateSnapshotRequest(info=pb.Info(name="a", labels={"x": "new"}))

    servicer.update(request)
    after = listed(servicer)

    assert [dict(info.labels) for info in before] == [{"x": "old"}]
    assert [dict(info.labels) for info in after] == [{"x": "new"}]
