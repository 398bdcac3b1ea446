"""The contract of a differ: from blobs of layers to snapshots, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from snapfs.model import Mount, SnapshotDetails
from snapfs.stopping import Stop
from snapfs.values import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """A blob as a descriptor names it (OCI image-spec, descriptor.md).

    Attributes:
        media_type: What it is.
        digest: ``algorithm:hex``.
        size_bytes: How long it is.
    """

    media_type: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LayerOrder:
    """What kind of layer is wanted, and how it is to be stored.

    Attributes:
        media_type: Of the layer; "" for the usual one.
        reference: What containerd calls the upload; "" for a name of its own.
        labels: Of the blob, besides the one that says its diff ID.
        latest_s: No time in it is after this one, in seconds since the epoch
            (``SOURCE_DATE_EPOCH``); None for no bound.
        namespace: Of containerd, in which the blob will be.
        lease: Of containerd, which keeps the blob until it is used; "" for none.
    """

    media_type: str
    reference: str
    labels: Mapping[str, str]
    latest_s: int | None
    namespace: str
    lease: str


class Settler(Protocol):
    """What finishes layers that were applied before their place was known."""

    def settle(self, active: SnapshotDetails, parent: SnapshotDetails | None) -> None:
        """Finish the layer in ``active``, which is to be committed on ``parent``.

        Nothing is to be done for most snapshots. ``parent`` is None for none.

        Raises:
            UnsafeLayerError: The layer asks for a lower file that is nowhere.
            DataLossError: What is to be done cannot be read.
            SnapfsError: The disk failed.
            OSError: Likewise.
        """
        ...


class Differ(Protocol):
    """What containerd asks of a differ (``core/diff/diff.go``)."""

    def apply(
        self,
        content: Content,
        mounts: Sequence[Mount],
        namespace: str,
        *,
        is_synced: bool,
        stop: Stop,
    ) -> Content:
        """Unpack a layer into the snapshot that ``mounts`` show; return its tar.

        The bytes are in containerd's content store, in ``namespace``. Both they and
        what is written were verified afterwards, and are on disk if ``is_synced``.
        On any error the snapshot is as empty as it was.

        Raises:
            UnimplementedError: Not ours to do, and nothing was touched: the blob is
                no layer that we read, or the mounts are not those of an empty active
                snapshot of the store.
            FailedPreconditionError: Somebody else applies to the snapshot.
            NotFoundError: The blob is not in the content store.
            DataLossError: The blob or the tar in it is damaged.
            UnsafeLayerError: An entry would escape, or breaks a limit.
            ResourceExhaustedError: The disk is full.
            UnavailableError: It was stopped.
        """
        ...

    def diff(
        self,
        before: Sequence[Mount],
        after: Sequence[Mount],
        order: LayerOrder,
        *,
        stop: Stop,
    ) -> Content:
        """Make a layer of what ``after`` shows otherwise than ``before``; return it.

        It is in containerd's content store afterwards. On any error nothing is there,
        not even a part of an upload.

        Raises:
            UnimplementedError: Not ours to do: the mounts are not those of snapshots
                of the store, or nobody makes layers of the media type.
            FailedPreconditionError: Something cannot be in a layer, or it changed
                while it was read.
            UnavailableError: It was stopped, or somebody else uploads under the
                reference.
            SnapfsError: As containerd says.
        """
        ...
