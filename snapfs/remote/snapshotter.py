"""containerd's contract over a socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from snapfs.api import convert, methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.closing import Closing
from snapfs.errors import InvalidArgumentError
from snapfs.model import NO_LABELS, Info, Mount, Usage
from snapfs.remote.channel import Channel

# Servers ignore it, except containerd's own socket, which finds the plugin by it.
DEFAULT_NAME: Final = "snapfs"


class RemoteSnapshotter(Closing):
    """Implements :class:`snapfs.snapshotter.Snapshotter` over gRPC.

    Besides the errors of the contract, every method raises ``UnavailableError`` if
    nobody serves, ``FailedPreconditionError`` after ``close`` and
    ``InvalidArgumentError`` for text that is not UTF-8. ``close`` closes the
    connection, not the store behind it.

    Args:
        address: The path of the server's unix socket.
        timeout_s: How long a call may take, for ``walk`` with all its reading.
        name: The ``snapshotter`` field of each request.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float | None = None,
        name: str = DEFAULT_NAME,
    ) -> None:
        self._channel = Channel(address, timeout_s=timeout_s)
        self._name = name

    def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.prepare`."""
        with encodable():
            request = pb.PrepareSnapshotRequest(
                snapshotter=self._name, key=key, parent=parent, labels=dict(labels)
            )
        response = self._channel.call(methods.PREPARE, request)
        return convert.mounts_from_proto(response.mounts)

    def view(
        self, key: str, parent: str = "", labels: Mapping[str, str] = NO_LABELS
    ) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.view`."""
        with encodable():
            request = pb.ViewSnapshotRequest(
                snapshotter=self._name, key=key, parent=parent, labels=dict(labels)
            )
        response = self._channel.call(methods.VIEW, request)
        return convert.mounts_from_proto(response.mounts)

    def mounts(self, key: str) -> list[Mount]:
        """See :meth:`snapfs.snapshotter.Snapshotter.mounts`."""
        with encodable():
            request = pb.MountsRequest(snapshotter=self._name, key=key)
        response = self._channel.call(methods.MOUNTS, request)
        return convert.mounts_from_proto(response.mounts)

    def commit(
        self,
        name: str,
        key: str,
        labels: Mapping[str, str] = NO_LABELS,
        parent: str = "",
    ) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.commit`."""
        with encodable():
            request = pb.CommitSnapshotRequest(
                snapshotter=self._name,
                name=name,
                key=key,
                labels=dict(labels),
                parent=parent,
            )
        self._channel.call(methods.COMMIT, request)

    def remove(self, key: str) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.remove`."""
        with encodable():
            request = pb.RemoveSnapshotRequest(snapshotter=self._name, key=key)
        self._channel.call(methods.REMOVE, request)

    def stat(self, key: str) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.stat`."""
        with encodable():
            request = pb.StatSnapshotRequest(snapshotter=self._name, key=key)
        return convert.info_from_proto(self._channel.call(methods.STAT, request).info)

    def update(self, info: Info, fieldpaths: Sequence[str] = ()) -> Info:
        """See :meth:`snapfs.snapshotter.Snapshotter.update`."""
        with encodable():
            request = pb.UpdateSnapshotRequest(
                snapshotter=self._name, info=convert.info_to_proto(info)
            )
            request.update_mask.paths.extend(fieldpaths)
        return convert.info_from_proto(self._channel.call(methods.UPDATE, request).info)

    def usage(self, key: str) -> Usage:
        """See :meth:`snapfs.snapshotter.Snapshotter.usage`."""
        with encodable():
            request = pb.UsageRequest(snapshotter=self._name, key=key)
        return convert.usage_from_proto(self._channel.call(methods.USAGE, request))

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        """See :meth:`snapfs.snapshotter.Snapshotter.walk`.

        Snapshots come in as they are taken; closing the iterator ends the call.
        """
        with encodable():
            request = pb.ListSnapshotsRequest(
                snapshotter=self._name, filters=list(filters)
            )
        responses = self._channel.stream(methods.LIST, request)
        return (
            convert.info_from_proto(info)
            for response in responses
            for info in response.info
        )

    def cleanup(self) -> None:
        """See :meth:`snapfs.snapshotter.Snapshotter.cleanup`."""
        self._channel.call(methods.CLEANUP, pb.CleanupRequest(snapshotter=self._name))

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._channel.close()


@contextlib.contextmanager
def encodable() -> Iterator[None]:
    """Refuse text that a message cannot hold, which must be UTF-8.

    Raises:
        InvalidArgumentError: The block met such text.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{error.object!r} is not UTF-8; keys, names and labels must be"
        ) from error
