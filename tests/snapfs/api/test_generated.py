"""The generated files are what the .proto files say, and what containerd speaks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor

import snapfs.api
from snapfs.api import (
    containerd_methods,
    content_pb2,
    diff_pb2,
    health_pb2,
    images_pb2,
    leases_pb2,
    methods,
    namespaces_pb2,
    snapshots_pb2,
    store_pb2,
    types_pb2,
)

API = Path(snapfs.api.__file__).parent
REPOSITORY = API.parent.parent

TABLE = [
    row
    for module in (methods, containerd_methods)
    for row in vars(module).values()
    if isinstance(row, methods.Method)
]


@pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None, reason="grpcio-tools is missing"
)
def test_generated_files_are_current(tmp_path: Path) -> None:
    subprocess.run(
        [REPOSITORY / "scripts" / "generate-protos", tmp_path],
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
    )

    made = {path.name: path.read_text() for path in (tmp_path / "snapfs/api").iterdir()}
    kept = {path.name: path.read_text() for path in API.glob("*_pb2.py*")}
    assert made == kept


def described() -> dict[str, MethodDescriptor]:
    services = (
        snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"],
        store_pb2.DESCRIPTOR.services_by_name["Store"],
        images_pb2.DESCRIPTOR.services_by_name["Images"],
        namespaces_pb2.DESCRIPTOR.services_by_name["Namespaces"],
        content_pb2.DESCRIPTOR.services_by_name["Content"],
        leases_pb2.DESCRIPTOR.services_by_name["Leases"],
        diff_pb2.DESCRIPTOR.services_by_name["Diff"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    )
    return {
        f"/{service.full_name}/{method.name}": method
        for service in services
        for method in service.methods
    }


def test_table_of_methods_is_that_of_the_proto_files() -> None:
    assert {row.path for row in TABLE} == set(described())
    for row in TABLE:
        method = described()[row.path]
        assert row.request.DESCRIPTOR is method.input_type
        assert row.response.DESCRIPTOR is method.output_type
        assert row.streams == method.server_streaming


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        pytest.param(
            "PrepareSnapshotRequest",
            "snapshotter=1 key=2 parent=3 labels=4",
            id="PrepareSnapshotRequest",
        ),
        pytest.param(
            "PrepareSnapshotResponse", "mounts=1", id="PrepareSnapshotResponse"
        ),
        pytest.param(
            "ViewSnapshotRequest",
            "snapshotter=1 key=2 parent=3 labels=4",
            id="ViewSnapshotRequest",
        ),
        pytest.param("ViewSnapshotResponse", "mounts=1", id="ViewSnapshotResponse"),
        pytest.param("MountsRequest", "snapshotter=1 key=2", id="MountsRequest"),
        pytest.param("MountsResponse", "mounts=1", id="MountsResponse"),
        pytest.param(
            "RemoveSnapshotRequest", "snapshotter=1 key=2", id="RemoveSnapshotRequest"
        ),
        pytest.param(
            "CommitSnapshotRequest",
            "snapshotter=1 name=2 key=3 labels=4 parent=5",
            id="CommitSnapshotRequest",
        ),
        pytest.param(
            "StatSnapshotRequest", "snapshotter=1 key=2", id="StatSnapshotRequest"
        ),
        pytest.param(
            "Info",
            "name=1 parent=2 kind=3 created_at=4 updated_at=5 labels=6",
            id="Info",
        ),
        pytest.param("StatSnapshotResponse", "info=1", id="StatSnapshotResponse"),
        pytest.param(
            "UpdateSnapshotRequest",
            "snapshotter=1 info=2 update_mask=3",
            id="UpdateSnapshotRequest",
        ),
        pytest.param("UpdateSnapshotResponse", "info=1", id="UpdateSnapshotResponse"),
        pytest.param(
            "ListSnapshotsRequest", "snapshotter=1 filters=2", id="ListSnapshotsRequest"
        ),
        pytest.param("ListSnapshotsResponse", "info=1", id="ListSnapshotsResponse"),
        pytest.param("UsageRequest", "snapshotter=1 key=2", id="UsageRequest"),
        pytest.param("UsageResponse", "size=1 inodes=2", id="UsageResponse"),
        pytest.param("CleanupRequest", "snapshotter=1", id="CleanupRequest"),
    ],
)
def test_names_and_numbers_are_containerds(message: str, fields: str) -> None:
    file = snapshots_pb2.DESCRIPTOR
    descriptor = file.message_types_by_name[message]

    assert file.package == "containerd.services.snapshots.v1"
    assert " ".join(f"{f.name}={f.number}" for f in descriptor.fields) == fields


def test_mount_is_containerds() -> None:
    descriptor = types_pb2.Mount.DESCRIPTOR

    assert descriptor.full_name == "containerd.types.Mount"
    assert [(field.name, field.number) for field in descriptor.fields] == [
        ("type", 1),
        ("source", 2),
        ("target", 3),
        ("options", 4),
    ]


@pytest.mark.parametrize(
    ("descriptor", "name", "fields"),
    [
        pytest.param(
            types_pb2.Descriptor.DESCRIPTOR,
            "containerd.types.Descriptor",
            "media_type=1 digest=2 size=3 annotations=5",
            id="Descriptor",
        ),
        pytest.param(
            images_pb2.Image.DESCRIPTOR,
            "containerd.services.images.v1.Image",
            "name=1 labels=2 target=3 created_at=7 updated_at=8",
            id="Image",
        ),
        pytest.param(
            content_pb2.Info.DESCRIPTOR,
            "containerd.services.content.v1.Info",
            "digest=1 size=2 created_at=3 updated_at=4 labels=5",
            id="Info",
        ),
        pytest.param(
            content_pb2.ReadContentRequest.DESCRIPTOR,
            "containerd.services.content.v1.ReadContentRequest",
            "digest=1 offset=2 size=3",
            id="ReadContentRequest",
        ),
        pytest.param(
            content_pb2.ReadContentResponse.DESCRIPTOR,
            "containerd.services.content.v1.ReadContentResponse",
            "offset=1 data=2",
            id="ReadContentResponse",
        ),
    ],
)
def test_what_images_are_read_by_is_containerds(
    descriptor: Descriptor, name: str, fields: str
) -> None:
    assert descriptor.full_name == name
    assert " ".join(f"{f.name}={f.number}" for f in descriptor.fields) == fields


def test_files_are_registered_under_our_own_names() -> None:
    for module in (snapshots_pb2, store_pb2, types_pb2, images_pb2, content_pb2):
        assert module.DESCRIPTOR.name.startswith("snapfs/api/")
