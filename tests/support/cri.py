"""A small client of CRI (``runtime.v1``): what a kubelet asks of containerd.

The messages are made here from a table, with the names and numbers of Kubernetes's
``api.proto`` (``k8s.io/cri-api/pkg/apis/runtime/v1``): only the fields that the tests
use, which protocol buffers allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

# Longer than a container takes to start on a busy machine; it ends a test that hangs.
TIMEOUT_S: Final = 120.0
POD: Final = 0
NODE: Final = 2

_TEXT: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_NUMBER: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_UNSIGNED: Final = descriptor_pb2.FieldDescriptorProto.TYPE_UINT64
_SMALL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_UINT32
_INT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_FLAG: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL

# A string is another message; a "*" before it, or before a number, is a list.
_Fields = Mapping[str, tuple[int, object]]
_MESSAGES: Final[Mapping[str, _Fields]] = {
    "Empty": {},
    "Id": {"value": (1, _TEXT)},
    "PodSandboxMetadata": {
        "name": (1, _TEXT),
        "uid": (2, _TEXT),
        "namespace": (3, _TEXT),
        "attempt": (4, _SMALL),
    },
    "IDMapping": {
        "host_id": (1, _SMALL),
        "container_id": (2, _SMALL),
        "length": (3, _SMALL),
    },
    "UserNamespace": {
        "mode": (1, _INT32),
        "uids": (2, "*IDMapping"),
        "gids": (3, "*IDMapping"),
    },
    "NamespaceOption": {
        "network": (1, _INT32),
        "pid": (2, _INT32),
        "ipc": (3, _INT32),
        "userns_options": (5, "UserNamespace"),
    },
    "SecurityContext": {"namespace_options": (1, "NamespaceOption")},
    "LinuxPodSandboxConfig": {
        "cgroup_parent": (1, _TEXT),
        "security_context": (2, "SecurityContext"),
    },
    "PodSandboxConfig": {
        "metadata": (1, "PodSandboxMetadata"),
        "hostname": (2, _TEXT),
        "log_directory": (3, _TEXT),
        "linux": (8, "LinuxPodSandboxConfig"),
    },
    "RunPodSandboxRequest": {
        "config": (1, "PodSandboxConfig"),
        "runtime_handler": (2, _TEXT),
    },
    "ContainerMetadata": {"name": (1, _TEXT), "attempt": (2, _SMALL)},
    "ImageSpec": {"image": (1, _TEXT)},
    "ContainerSecurityContext": {"namespace_options": (3, "NamespaceOption")},
    "LinuxContainerConfig": {"security_context": (2, "ContainerSecurityContext")},
    "ContainerConfig": {
        "metadata": (1, "ContainerMetadata"),
        "image": (2, "ImageSpec"),
        "command": (3, "*text"),
        "log_path": (11, _TEXT),
        "linux": (15, "LinuxContainerConfig"),
    },
    "CreateContainerRequest": {
        "pod_sandbox_id": (1, _TEXT),
        "config": (2, "ContainerConfig"),
        "sandbox_config": (3, "PodSandboxConfig"),
    },
    "StopContainerRequest": {"container_id": (1, _TEXT), "timeout": (2, _NUMBER)},
    "ExecSyncRequest": {
        "container_id": (1, _TEXT),
        "cmd": (2, "*text"),
        "timeout": (3, _NUMBER),
    },
    "ExecSyncResponse": {
        "stdout": (1, _BYTES),
        "stderr": (2, _BYTES),
        "exit_code": (3, _INT32),
    },
    "UInt64Value": {"value": (1, _UNSIGNED)},
    "FilesystemIdentifier": {"mountpoint": (1, _TEXT)},
    "FilesystemUsage": {
        "timestamp": (1, _NUMBER),
        "fs_id": (2, "FilesystemIdentifier"),
        "used_bytes": (3, "UInt64Value"),
        "inodes_used": (4, "UInt64Value"),
    },
    "ImageFsInfoResponse": {
        "image_filesystems": (1, "*FilesystemUsage"),
        "container_filesystems": (2, "*FilesystemUsage"),
    },
    "Image": {"id": (1, _TEXT), "repo_tags": (2, "*text"), "size": (4, _UNSIGNED)},
    "ListImagesResponse": {"images": (1, "*Image")},
    "RemoveImageRequest": {"image": (1, "ImageSpec")},
    "Container": {"id": (1, _TEXT)},
    "ListContainersResponse": {"containers": (1, "*Container")},
    "PodSandbox": {"id": (1, _TEXT)},
    "ListPodSandboxResponse": {"items": (1, "*PodSandbox")},
    "ContainerStats": {"writable_layer": (4, "FilesystemUsage")},
    "ContainerStatsResponse": {"stats": (1, "ContainerStats")},
    "RuntimeCondition": {"type": (1, _TEXT), "status": (2, _FLAG)},
    "RuntimeStatus": {"conditions": (1, "*RuntimeCondition")},
    "StatusResponse": {"status": (1, "RuntimeStatus")},
}
_PACKAGE: Final = "snapfs.tests.cri"

_CALLS: Final[Mapping[str, tuple[str, str]]] = {
    "RunPodSandbox": ("RunPodSandboxRequest", "Id"),
    "StopPodSandbox": ("Id", "Empty"),
    "RemovePodSandbox": ("Id", "Empty"),
    "ListPodSandbox": ("Empty", "ListPodSandboxResponse"),
    "CreateContainer": ("CreateContainerRequest", "Id"),
    "StartContainer": ("Id", "Empty"),
    "StopContainer": ("StopContainerRequest", "Empty"),
    "RemoveContainer": ("Id", "Empty"),
    "ListContainers": ("Empty", "ListContainersResponse"),
    "ContainerStats": ("Id", "ContainerStatsResponse"),
    "ExecSync": ("ExecSyncRequest", "ExecSyncResponse"),
    "Status": ("Empty", "StatusResponse"),
    "ListImages": ("Empty", "ListImagesResponse"),
    "RemoveImage": ("RemoveImageRequest", "Empty"),
    "ImageFsInfo": ("Empty", "ImageFsInfoResponse"),
}
_OF_IMAGES: Final = frozenset(("ListImages", "RemoveImage", "ImageFsInfo"))


def _classes() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="snapfs/tests/cri.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            is_list = isinstance(kind, str) and kind.startswith("*")
            field.label = field.LABEL_REPEATED if is_list else field.LABEL_OPTIONAL
            if isinstance(kind, int):
                field.type = kind  # type: ignore[assignment]  # a number of its enum
            elif kind == "*text":
                field.type = _TEXT
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{_PACKAGE}.{str(kind).lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in _MESSAGES
    }


class KubeletClient:
    """Calls to containerd's CRI, as a kubelet makes them."""

    def __init__(self, socket: Path) -> None:
        self._classes = _classes()
        self._channel = grpc.insecure_channel(f"unix:{socket}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def call(self, name: str, **fields: Any) -> Any:  # noqa: ANN401 - by its table
        """Make one call; fields that are messages are given as dictionaries."""
        request, response = (self._classes[each] for each in _CALLS[name])
        service = "ImageService" if name in _OF_IMAGES else "RuntimeService"
        method = self._channel.unary_unary(
            f"/runtime.v1.{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return method(request(**fields), timeout=TIMEOUT_S)

    def run_pod(self, name: str, cgroup: str, logs: Path, runtime: str = "") -> Pod:
        """Run a pod in the host's network, which needs no CNI."""
        namespaces = {"network": NODE}
        config = {
            "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "tests"},
            "log_directory": str(logs),
            "linux": {
                "cgroup_parent": cgroup,
                "security_context": {"namespace_options": namespaces},
            },
        }
        found = self.call("RunPodSandbox", config=config, runtime_handler=runtime).value
        return Pod(self, found, config, namespaces)


class Pod:
    """One pod that runs."""

    def __init__(
        self,
        client: KubeletClient,
        pod_id: str,
        config: dict[str, Any],
        namespaces: dict[str, Any],
    ) -> None:
        self._client = client
        self._config = config
        self._namespaces = namespaces
        self.id = pod_id

    def start(self, name: str, image: str, *command: str) -> str:
        """Create and start a container; return its number."""
        config = {
            "metadata": {"name": name},
            "image": {"image": image},
            "command": list(command),
            "log_path": f"{name}.log",
            "linux": {"security_context": {"namespace_options": self._namespaces}},
        }
        made: str = self._client.call(
            "CreateContainer",
            pod_sandbox_id=self.id,
            config=config,
            sandbox_config=self._config,
        ).value
        self._client.call("StartContainer", value=made)
        return made

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container; return what it printed."""
        done = self._client.call(
            "ExecSync", container_id=container, cmd=list(command), timeout=60
        )
        assert done.exit_code == 0, done.stderr
        text: str = done.stdout.decode()
        return text

    def remove(self) -> None:
        """Stop the pod and remove it with its containers, as an eviction does."""
        self._client.call("StopPodSandbox", value=self.id)
        self._client.call("RemovePodSandbox", value=self.id)
