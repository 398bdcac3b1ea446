"""Values survive the way through messages and their bytes."""

from __future__ import annotations

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from snapfs.api import convert
from snapfs.api import snapshots_pb2 as pb
from snapfs.errors import InvalidArgumentError
from snapfs.model import (
    Durability,
    Finding,
    Garbage,
    IdMaps,
    Info,
    Kind,
    Mount,
    NewLayer,
    Owner,
    Severity,
    SnapshotDetails,
    StoreStatus,
    Usage,
)

_M = TypeVar("_M", bound=Message)

# What os.fsdecode makes of a file name that is not UTF-8.
ODD_PATH = "/store/\udcff\udcfe"

INFO = Info(
    name="k8s.io/187/sha256:96",
    parent="default/12/extract-52 sha256:89",
    kind=Kind.COMMITTED,
    created_ns=1_700_000_000_123_456_789,
    updated_ns=1_700_000_000_123_456_790,
    labels={"containerd.io/snapshot.ref": "sha256:12", "ü": "ö"},
)


def through_bytes(message: _M) -> _M:
    copy = type(message).FromString(message.SerializeToString())
    assert copy == message
    return copy


@pytest.mark.parametrize("kind", list(Kind))
def test_info_comes_back_as_it_was(kind: Kind) -> None:
    info = Info("a", "b", kind, 1, 2, {"k": "v"})

    assert convert.info_from_proto(through_bytes(convert.info_to_proto(info))) == info


@given(time_ns=st.integers(min_value=-(10**18), max_value=4 * 10**18))
def test_timestamps_are_exact_to_the_nanosecond(time_ns: int) -> None:
    message = through_bytes(convert.timestamp_to_proto(time_ns))

    assert convert.timestamp_from_proto(message) == time_ns
    assert 0 <= message.nanos < 10**9


def test_numbers_of_kinds_are_containerds() -> None:
    assert [convert.info_to_proto(Info("a", kind=kind)).kind for kind in Kind] == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize("number", [0, 4, 99])
def test_unknown_kind_reads_as_committed(number: int) -> None:
    # An enum field of proto3 takes any number; field 3 as a varint.
    message = pb.Info.FromString(bytes([3 << 3, number]))

    assert convert.info_from_proto(message).kind is Kind.COMMITTED


def test_labels_of_a_converted_info_cannot_be_changed() -> None:
    info = convert.info_from_proto(convert.info_to_proto(INFO))

    with pytest.raises(TypeError):
        info.labels["k"] = "v"  # type: ignore[index]  # the point of the test


def test_mounts_come_back_in_order() -> None:
    mounts = [
        Mount("overlay", "overlay", "/below", ("workdir=/w", "lowerdir=/a:/b")),
        Mount("bind", "/c"),
    ]

    assert convert.mounts_from_proto(convert.mounts_to_proto(mounts)) == mounts


def test_usage_comes_back_as_it_was() -> None:
    usage = Usage(size_bytes=2**60, inodes=3)

    assert convert.usage_from_proto(convert.usage_to_proto(usage)) == usage


@pytest.mark.parametrize("id_maps", [None, IdMaps("0:1:2", "0:3:4,5:6:7")])
@pytest.mark.parametrize("usage", [None, Usage(), Usage(1, 2)])
def test_details_come_back_as_they_were(
    usage: Usage | None, id_maps: IdMaps | None
) -> None:
    details = SnapshotDetails(
        info=INFO,
        owner=Owner.CONTAINERD,
        directory=ODD_PATH,
        content=ODD_PATH + "/fs",
        lowerdirs=(ODD_PATH + "/1", "/2"),
        driver="kernel",
        durability=Durability.LAYER,
        usage=usage,
        id_maps=id_maps,
    )

    message = through_bytes(convert.details_to_proto(details))

    assert convert.details_from_proto(message) == details


@pytest.mark.parametrize("usage", [None, Usage(), Usage(1, 2)])
def test_garbage_comes_back_as_it_was(usage: Usage | None) -> None:
    garbage = Garbage(ODD_PATH, "no snapshot has it", usage)

    message = through_bytes(convert.garbage_to_proto(garbage))

    assert convert.garbage_from_proto(message) == garbage


@pytest.mark.parametrize("severity", list(Severity))
def test_findings_come_back_as_they_were(severity: Severity) -> None:
    finding = Finding(severity, "missing-directory", ODD_PATH, f"{ODD_PATH} is gone")

    message = through_bytes(convert.finding_to_proto(finding))

    assert convert.finding_from_proto(message) == finding


def test_status_comes_back_as_it_was() -> None:
    status = StoreStatus(
        root=ODD_PATH,
        store_id="id",
        format_version=1,
        xattr_prefix="user.",
        driver="fuse",
        durability=Durability.IMAGE,
        pid=7,
        snapshots=8,
        trash_entries=9,
    )

    message = through_bytes(convert.status_to_proto(status))

    assert convert.status_from_proto(message) == status


@pytest.mark.parametrize("usage", [None, Usage(), Usage(1, 2)])
def test_a_new_layer_comes_back_as_it_was(usage: Usage | None) -> None:
    layer = NewLayer("top", 7, "base", {"k": "v"}, "other", True, usage, 3)

    message = through_bytes(convert.new_layer_to_proto(layer))

    assert convert.new_layer_from_proto(message) == layer


def test_no_durability_is_none_and_an_unknown_one_is_refused() -> None:
    assert convert.durability_from_proto("") is None
    assert convert.durability_from_proto("image") is Durability.IMAGE
    with pytest.raises(InvalidArgumentError, match="no durability 'often'"):
        convert.durability_from_proto("often")
