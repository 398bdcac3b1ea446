"""The calls that we make of containerd's own services.

Apart from ``methods``, which the service loads: it needs none of these.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.empty_pb2 import Empty

from snapfs.api import content_pb2, images_pb2, leases_pb2, namespaces_pb2
from snapfs.api.methods import Method

IMAGES_SERVICE: Final = "containerd.services.images.v1.Images"
CONTENT_SERVICE: Final = "containerd.services.content.v1.Content"
LEASES_SERVICE: Final = "containerd.services.leases.v1.Leases"
NAMESPACES_SERVICE: Final = "containerd.services.namespaces.v1.Namespaces"

GET_IMAGE: Final = Method(
    IMAGES_SERVICE, "Get", images_pb2.GetImageRequest, images_pb2.GetImageResponse
)
LIST_IMAGES: Final = Method(
    IMAGES_SERVICE, "List", images_pb2.ListImagesRequest, images_pb2.ListImagesResponse
)
BLOB_INFO: Final = Method(
    CONTENT_SERVICE, "Info", content_pb2.InfoRequest, content_pb2.InfoResponse
)
READ_BLOB: Final = Method(
    CONTENT_SERVICE,
    "Read",
    content_pb2.ReadContentRequest,
    content_pb2.ReadContentResponse,
    streams=True,
)
UPDATE_BLOB: Final = Method(
    CONTENT_SERVICE, "Update", content_pb2.UpdateRequest, content_pb2.UpdateResponse
)
WRITE_BLOB: Final = Method(
    CONTENT_SERVICE,
    "Write",
    content_pb2.WriteContentRequest,
    content_pb2.WriteContentResponse,
    streams=True,
)
CREATE_LEASE: Final = Method(
    LEASES_SERVICE, "Create", leases_pb2.CreateRequest, leases_pb2.CreateResponse
)
ABORT_WRITE: Final = Method(CONTENT_SERVICE, "Abort", content_pb2.AbortRequest, Empty)
LIST_NAMESPACES: Final = Method(
    NAMESPACES_SERVICE,
    "List",
    namespaces_pb2.ListNamespacesRequest,
    namespaces_pb2.ListNamespacesResponse,
)
