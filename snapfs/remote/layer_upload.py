"""The process that makes a layer of snapshots and uploads it to containerd.

The stored bytes go straight from here to containerd's socket, so that the process
which answers calls never sees them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from snapfs.api import leases_pb2
from snapfs.api.containerd_methods import CREATE_LEASE
from snapfs.api.methods import LEASE_HEADER, NAMESPACE_HEADER
from snapfs.errors import FailedPreconditionError, SnapfsError
from snapfs.export.config import Step
from snapfs.export.diff_layer import DiffLayer
from snapfs.export.layer_blob import WrittenLayer, write_layer_blob
from snapfs.export.settings import ExportSettings
from snapfs.layer.writing import LayerForm
from snapfs.overlay_format import XattrPrefix
from snapfs.remote.channel import Channel
from snapfs.remote.content_writer import ContentWriter, abort_write
from snapfs.remote.layer_job import Begun, LayerUpload, Made, UploadReport
from snapfs.stopping import Stop
from snapfs.unpack.messages import Failed

# For calls about a blob, not those that carry it.
_TIMEOUT_S: Final = 60.0

_ADVICE: Final = (
    "containerd has called us, so it runs: name its socket (containerd.address)"
)

# By which containerd finds the layer of a blob (images.LabelUncompressed).
_DIFF_ID_LABEL: Final = "containerd.io/uncompressed"


# A lease that nobody ends: whoever asked for the layer uses it in a moment.
_KEPT_FOR: Final = timedelta(minutes=2)
_EXPIRY_LABEL: Final = "containerd.io/gc.expire"


def main() -> int:
    """Read the job from standard input, do it, report on standard output."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=LayerUpload)
    try:
        _report(upload_layer(job))
    except BrokenPipeError:
        return 1  # nobody is left to tell
    except SnapfsError as error:
        _report(Failed(type(error).__name__, str(error)))
    except (OSError, MemoryError) as error:
        _report(Failed("SnapfsError", f"the layer could not be made: {error}"))
    return 0


def lease_for(address: str, namespace: str) -> str:
    """Return a new lease that keeps a blob until its caller has had time to use it.

    containerd does not pass its caller's lease on to a differ (2.4.2,
    ``core/diff/proxy``): a collection right after the commit would take the blob.

    Raises:
        SnapfsError: As containerd says.
    """
    expires = datetime.now(UTC) + _KEPT_FOR
    name = f"snapfs-diff-{secrets.token_hex(8)}"
    labels = {_EXPIRY_LABEL: expires.isoformat(timespec="seconds")}
    with contextlib.closing(upload_channel(address, namespace, "")) as channel:
        request = leases_pb2.CreateRequest(id=name, labels=labels)
        return channel.call(CREATE_LEASE, request).lease.id


def upload_channel(address: str, namespace: str, lease: str) -> Channel:
    """Return a connection for one upload; the caller closes it.

    Raises:
        SnapfsError: As :class:`Channel`.
    """
    metadata = [(NAMESPACE_HEADER, namespace)]
    if lease:
        metadata.append((LEASE_HEADER, lease))
    return Channel(address, timeout_s=_TIMEOUT_S, metadata=metadata, advice=_ADVICE)


def upload_layer(job: LayerUpload) -> Made:
    """Make the layer and put it into the content store.

    On any error containerd has nothing of it.

    Raises:
        SnapfsError: As :meth:`snapfs.differ.Differ.diff`.
        OSError: From reading.
    """
    lease = job.lease or lease_for(job.address, job.namespace)
    channel = upload_channel(job.address, job.namespace, lease)
    with contextlib.closing(channel), ContentWriter(channel, job.reference) as writer:
        try:
            _report(Begun())
            layer = _written(job, writer)
            blob = layer.blob
            labels = {**job.labels, _DIFF_ID_LABEL: str(blob.diff_id)}
            writer.commit(blob.digest, labels)
        except BaseException:
            writer.close()
            with contextlib.suppress(SnapfsError):  # the first error is told
                abort_write(channel, job.reference)
            raise
    return Made(str(blob.digest), blob.size_bytes, layer.warnings)


def _written(job: LayerUpload, writer: ContentWriter) -> WrittenLayer:
    directories = (*job.before, *job.after)
    source = DiffLayer(
        label="the layer",
        step=Step(None, "snapfs"),
        before=tuple(map(os.fsdecode, job.before)),
        after=tuple(map(os.fsdecode, job.after)),
        prefix=XattrPrefix(job.xattr_prefix),
        owners=job.owners,
    )
    settings = ExportSettings(
        form=LayerForm(latest_s=job.latest_s),
        compression=job.compression,
        threads=job.threads,
    )
    layer = write_layer_blob(source, settings, writer.write, Stop("the diff"))
    # A removed snapshot goes to the trash before its files vanish one by one: what is
    # in its place still was whole while it was read.
    if not all(map(os.path.isdir, directories)):
        raise FailedPreconditionError("a snapshot was removed while it was read")
    return layer


def _report(report: UploadReport) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")
