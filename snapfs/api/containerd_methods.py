"""The calls that we make of containerd's own services.

Apart from ``methods``, which the service loads: it needs none of these.
"""

from __future__ import annotations

from typing import Final

from snapfs.api import content_pb2, images_pb2
from snapfs.api.methods import Method

IMAGES_SERVICE: Final = "containerd.services.images.v1.Images"
CONTENT_SERVICE: Final = "containerd.services.content.v1.Content"

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
