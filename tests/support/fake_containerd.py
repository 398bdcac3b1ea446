"""containerd's images and content services, made up, on our own RPC server."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from snapfs.api import content_pb2, images_pb2
from snapfs.api.codes import Code, with_class_text
from snapfs.api.containerd_methods import (
    BLOB_INFO,
    GET_IMAGE,
    LIST_IMAGES,
    READ_BLOB,
)
from snapfs.api.methods import NAMESPACE_HEADER
from snapfs.api.types_pb2 import Descriptor
from snapfs.rpc.calls import CallContext
from snapfs.rpc.status import RpcError
from support.rpc import serving

# What containerd 1.6 sends at a time; 2.x sends 1 MiB.
SENT_BYTES = 32 << 10

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclasses.dataclass
class FakeContainerd:
    """Images by namespace and name, blobs by digest; it counts and can fail.

    Attributes:
        images: The target of each name, by namespace.
        blobs: Served in every namespace.
        reads: The offset and size of each read that began.
        before_send: Called before each answer of a read, with its number; it may
            raise.
        extra: Sent after each read, unasked for.
    """

    images: dict[str, dict[str, Descriptor]] = dataclasses.field(default_factory=dict)
    blobs: dict[str, bytes] = dataclasses.field(default_factory=dict)
    reads: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    before_send: Callable[[int], None] | None = None
    extra: bytes = b""

    def add_blob(self, content: bytes) -> str:
        """Store ``content`` and return its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest

    def add_image(self, name: str, namespace: str = "default") -> Descriptor:
        """Store an image with a target of its own; return that."""
        content = name.encode()
        target = Descriptor(
            media_type=MANIFEST,
            digest=self.add_blob(content),
            size=len(content),
            annotations={"made": "up"},
        )
        self.images.setdefault(namespace, {})[name] = target
        return target

    @contextlib.contextmanager
    def served(self, directory: Path) -> Iterator[str]:
        """Serve on a socket in ``directory``; yield its path."""
        path = directory / "c.sock"
        unary = {
            GET_IMAGE.path: self._get,
            LIST_IMAGES.path: self._list,
            BLOB_INFO.path: self._info,
        }
        with serving(path, unary, {READ_BLOB.path: self._read}):
            yield str(path)

    def _get(self, request: bytes, context: CallContext) -> bytes:
        name = images_pb2.GetImageRequest.FromString(request).name
        target = self._images(context).get(name)
        if target is None:
            raise _not_found(f'image "{name}"')
        image = images_pb2.Image(name=name, target=target)
        return images_pb2.GetImageResponse(image=image).SerializeToString()

    def _list(self, _: bytes, context: CallContext) -> bytes:
        images = [
            images_pb2.Image(name=name, target=target)
            for name, target in self._images(context).items()
        ]
        return images_pb2.ListImagesResponse(images=images).SerializeToString()

    def _images(self, context: CallContext) -> dict[str, Descriptor]:
        return self.images.get(context.metadata(NAMESPACE_HEADER), {})

    def _info(self, request: bytes, _: CallContext) -> bytes:
        digest = content_pb2.InfoRequest.FromString(request).digest
        info = content_pb2.Info(digest=digest, size=len(self._blob(digest)))
        return content_pb2.InfoResponse(info=info).SerializeToString()

    def _read(self, request: bytes, _: CallContext) -> Iterator[bytes]:
        asked = content_pb2.ReadContentRequest.FromString(request)
        self.reads.append((asked.offset, asked.size))
        wanted = self._blob(asked.digest)[asked.offset :][: asked.size] + self.extra
        for number, at in enumerate(range(0, len(wanted), SENT_BYTES)):
            if self.before_send is not None:
                self.before_send(number)
            yield content_pb2.ReadContentResponse(
                offset=at, data=wanted[at : at + SENT_BYTES]
            ).SerializeToString()

    def _blob(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise _not_found(f"content {digest}")
        return self.blobs[digest]


def _not_found(what: str) -> RpcError:
    return RpcError(Code.NOT_FOUND, with_class_text(Code.NOT_FOUND, what))


def unavailable() -> RpcError:
    """Return what a client gets that loses its connection."""
    return RpcError(Code.UNAVAILABLE, "the connection was lost")
