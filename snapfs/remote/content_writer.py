"""A new blob for containerd's content store, written piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from snapfs.api import content_pb2 as pb
from snapfs.api.containerd_methods import (
    ABORT_WRITE,
    BLOB_INFO,
    UPDATE_BLOB,
    WRITE_BLOB,
)
from snapfs.closing import Closing
from snapfs.digest import Digest
from snapfs.errors import AlreadyExistsError, DataLossError
from snapfs.remote.channel import Channel

# Sent at a time; containerd takes up to 16 MiB.
_PIECE_BYTES: Final = 1 << 20

# For one piece. A commit may wait for a disk that is busy with other data.
_PIECE_TIMEOUT_S: Final = 120.0
_COMMIT_TIMEOUT_S: Final = 600.0


class ContentWriter(Closing):
    """One upload, which nobody else may have begun under the same reference.

    What an earlier upload left under the reference is dropped. Closing without
    :meth:`commit` leaves what was written with containerd, for :func:`abort_write` or
    another writer.

    Args:
        channel: To containerd; its metadata say which namespace and lease.
        reference: What the upload is called.

    Raises:
        UnavailableError: Nobody answers, or somebody else writes under the reference.
        SnapfsError: As containerd says.
    """

    def __init__(self, channel: Channel, reference: str) -> None:
        self._channel = channel
        self._piece = bytearray()
        self._offset = 0
        self._call = channel.exchange(WRITE_BLOB)
        try:
            self._ask(
                pb.WriteContentRequest(action=pb.WriteAction.WRITE, ref=reference)
            )
        except BaseException:
            self._call.close()
            raise

    def write(self, data: bytes) -> None:
        """Take in further bytes.

        Raises:
            SnapfsError: As containerd says; its disk may be full.
        """
        self._piece += data
        while len(self._piece) >= _PIECE_BYTES:
            self._send(bytes(self._piece[:_PIECE_BYTES]))
            del self._piece[:_PIECE_BYTES]

    def commit(self, digest: Digest, labels: Mapping[str, str]) -> None:
        """Make what was written the blob ``digest``; it may be there already.

        A blob that was there gets those of the labels that it lacks.

        Raises:
            SnapfsError: As containerd says; what it has is not what was written.
        """
        self._send(bytes(self._piece))
        request = pb.WriteContentRequest(
            action=pb.WriteAction.COMMIT,
            offset=self._offset,
            total=self._offset,
            expected=str(digest),
            labels=labels,
        )
        try:
            self._call.ask(request, _COMMIT_TIMEOUT_S)
        except AlreadyExistsError:
            _add_labels(self._channel, digest, labels)

    def close(self) -> None:
        """End the upload; a second call does nothing."""
        self._call.close()

    def _send(self, data: bytes) -> None:
        if not data:
            return
        request = pb.WriteContentRequest(
            action=pb.WriteAction.WRITE, offset=self._offset, data=data
        )
        self._offset += len(data)
        self._ask(request)

    def _ask(self, request: pb.WriteContentRequest) -> None:
        response = self._call.ask(request, _PIECE_TIMEOUT_S)
        # An empty piece does not drop what is there; the first one with data does.
        if request.data and response.offset != self._offset:
            raise DataLossError(
                f"containerd has {response.offset} bytes of an upload, not the"
                f" {self._offset} that were written"
            )


def abort_write(channel: Channel, reference: str) -> None:
    """Have containerd forget what was written under ``reference``.

    Raises:
        NotFoundError: There is nothing.
        SnapfsError: As containerd says.
    """
    channel.call(ABORT_WRITE, pb.AbortRequest(ref=reference))


def _add_labels(channel: Channel, digest: Digest, labels: Mapping[str, str]) -> None:
    found = channel.call(BLOB_INFO, pb.InfoRequest(digest=str(digest))).info
    missing = {name: labels[name] for name in labels if name not in found.labels}
    if not missing:
        return
    request = pb.UpdateRequest(info=pb.Info(digest=str(digest), labels=missing))
    request.update_mask.paths.extend(f"labels.{name}" for name in missing)
    channel.call(UPDATE_BLOB, request)
