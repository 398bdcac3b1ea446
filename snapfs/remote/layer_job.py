"""What a service and the process that makes a layer for containerd say to each other.

JSON, a line each: the job on the process's standard input, reports on its output.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from snapfs.compression import Compression
from snapfs.layer.stored_owners import StoredOwners
from snapfs.unpack.messages import Failed


class LayerUpload(msgspec.Struct, frozen=True, kw_only=True):
    """One layer to make and upload.

    Attributes:
        address: containerd's socket.
        namespace: In which the blob will be.
        lease: Which keeps it; "" for none.
        reference: What the upload is called.
        labels: Of the blob; its diff ID comes to them.
        compression: How it is stored.
        threads: That compress.
        latest_s: No time in it is after this one; None for no bound.
        before: Directories of the tree as it was, highest first.
        after: Directories of the tree as it is, highest first.
        xattr_prefix: Of overlayfs's marks in them.
        owners: How the host's owners are written, in layers that have such.
    """

    address: str
    namespace: str
    lease: str
    reference: str
    labels: dict[str, str]
    compression: Compression
    threads: int
    latest_s: int | None
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    xattr_prefix: str
    owners: StoredOwners | None = None


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """containerd has an upload of ours now, until it is committed or aborted."""


class Made(msgspec.Struct, frozen=True, tag="made"):
    """The blob is in the content store.

    Attributes:
        digest: Of it.
        size_bytes: Of it.
        warnings: What was left out, a line each.
    """

    digest: str
    size_bytes: int
    warnings: tuple[str, ...]


UploadReport: TypeAlias = Begun | Made | Failed
