"""Blobs written to a content store, made up, on grpcio's server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from snapfs.api import content_pb2 as pb
from snapfs.api.containerd_methods import CONTENT_SERVICE
from snapfs.digest import Digest, sha256
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.remote.channel import Channel
from snapfs.remote.content_writer import ContentWriter, abort_write

PIECES = [b"", b"a" * 10, b"b" * (3 << 20), b"c"]
WHOLE = b"".join(PIECES)


class ContentService:
    """As containerd's: uploads by reference, blobs by digest, labels of these.

    Attributes:
        room: How many bytes fit on its disk.
        shift: By how much the offsets that it tells are wrong.
    """

    def __init__(self) -> None:
        self.uploads: dict[str, bytearray] = {}
        self.blobs: dict[str, bytes] = {}
        self.labels: dict[str, dict[str, str]] = {}
        self.locked: set[str] = set()
        self.room = 1 << 30
        self.shift = 0

    def write(
        self, requests: Iterator[pb.WriteContentRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.WriteContentResponse]:
        first = next(requests)
        if first.ref in self.locked:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"ref {first.ref} locked")
        upload = self.uploads.setdefault(first.ref, bytearray())
        request: pb.WriteContentRequest | None = first
        while request is not None:
            if request.offset == 0 and request.data:
                upload.clear()
            if len(upload) + len(request.data) > self.room:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no space left")
            upload += request.data
            if request.action == pb.WriteAction.COMMIT:
                self._commit(first.ref, request, context)
            yield pb.WriteContentResponse(
                action=request.action, offset=len(upload) + self.shift
            )
            request = next(requests, None)

    def _commit(
        self, ref: str, request: pb.WriteContentRequest, context: grpc.ServicerContext
    ) -> None:
        data = bytes(self.uploads.pop(ref))
        name = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if (len(data), name) != (request.total, request.expected):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "unexpected commit")
        if name in self.blobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"content {name}")
        self.blobs[name] = data
        self.labels[name] = dict(request.labels)

    def abort(self, request: pb.AbortRequest, context: grpc.ServicerContext) -> Empty:
        if self.uploads.pop(request.ref, None) is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such upload")
        return Empty()

    def info(
        self, request: pb.InfoRequest, context: grpc.ServicerContext
    ) -> pb.InfoResponse:
        info = pb.Info(digest=request.digest, labels=self.labels[request.digest])
        return pb.InfoResponse(info=info)

    def update(
        self, request: pb.UpdateRequest, context: grpc.ServicerContext
    ) -> pb.UpdateResponse:
        for path in request.update_mask.paths:
            name = path.removeprefix("labels.")
            self.labels[request.info.digest][name] = request.info.labels[name]
        return pb.UpdateResponse()


@pytest.fixture
def service() -> ContentService:
    return ContentService()


@pytest.fixture
def channel(service: ContentService, tmp_path: Path) -> Iterator[Channel]:
    pool = futures.ThreadPoolExecutor(4)
    server = grpc.server(pool, options=[("grpc.max_receive_message_length", 16 << 20)])

    def unary(call: object, request: type[Message]) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            call, request.FromString, lambda answer: answer.SerializeToString()
        )

    handlers = {
        "Write": grpc.stream_stream_rpc_method_handler(
            service.write,
            pb.WriteContentRequest.FromString,
            pb.WriteContentResponse.SerializeToString,
        ),
        "Abort": unary(service.abort, pb.AbortRequest),
        "Info": unary(service.info, pb.InfoRequest),
        "Update": unary(service.update, pb.UpdateRequest),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(CONTENT_SERVICE, handlers),)
    )
    path = str(tmp_path / "s")
    server.add_insecure_port(f"unix:{path}")
    server.start()
    opened = Channel(path, timeout_s=30)
    yield opened
    opened.close()
    server.stop(0).wait()
    pool.shutdown()


def upload(channel: Channel, labels: dict[str, str]) -> None:
    with ContentWriter(channel, "ref") as writer:
        for piece in PIECES:
            writer.write(piece)
        writer.commit(sha256(WHOLE), labels)


def test_what_was_written_is_the_blob(
    channel: Channel, service: ContentService
) -> None:
    upload(channel, {"a": "1"})

    name = str(sha256(WHOLE))
    assert service.blobs == {name: WHOLE}
    assert service.labels == {name: {"a": "1"}}
    assert service.uploads == {}


def test_an_empty_blob_is_one(channel: Channel, service: ContentService) -> None:
    with ContentWriter(channel, "ref") as writer:
        writer.commit(sha256(b""), {})

    assert service.blobs == {str(sha256(b"")): b""}


def test_what_an_earlier_upload_left_is_dropped(
    channel: Channel, service: ContentService
) -> None:
    service.uploads["ref"] = bytearray(b"old")

    upload(channel, {})

    assert list(service.blobs.values()) == [WHOLE]


def test_a_blob_that_is_there_gets_the_labels_that_it_lacks(
    channel: Channel, service: ContentService
) -> None:
    name = str(sha256(WHOLE))
    service.blobs[name] = WHOLE
    service.labels[name] = {"a": "theirs"}

    upload(channel, {"a": "1", "b": "2"})

    assert service.labels[name] == {"a": "theirs", "b": "2"}


def test_a_full_disk_is_told_and_what_was_written_can_be_dropped(
    channel: Channel, service: ContentService
) -> None:
    service.room = 2 << 20

    with pytest.raises(ResourceExhaustedError, match="no space"):
        upload(channel, {})

    abort_write(channel, "ref")
    assert service.uploads == {}
    with pytest.raises(NotFoundError):
        abort_write(channel, "ref")


def test_another_digest_is_refused(channel: Channel, service: ContentService) -> None:
    with ContentWriter(channel, "ref") as writer:
        writer.write(b"x")

        with pytest.raises(FailedPreconditionError, match="unexpected commit"):
            writer.commit(Digest("sha256:" + "0" * 64), {})

    assert service.blobs == {}


def test_somebody_else_s_upload_is_left_alone(
    channel: Channel, service: ContentService
) -> None:
    service.locked.add("ref")

    with pytest.raises(UnavailableError):
        ContentWriter(channel, "ref")


def test_a_store_that_lost_bytes_is_found_out(
    channel: Channel, service: ContentService
) -> None:
    service.shift = -1

    with pytest.raises(DataLossError, match="were written"):
        upload(channel, {})
