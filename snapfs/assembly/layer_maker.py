"""Layers made of snapshots for containerd: a process for each, watched from here."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from typing import Final

import msgspec

from snapfs.compression import Compression
from snapfs.differ import Content, LayerOrder
from snapfs.errors import (
    NotFoundError,
    SnapfsError,
    UnavailableError,
    UnimplementedError,
)
from snapfs.image.media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from snapfs.layer.stored_owners import StoredOwners
from snapfs.overlay_format import XattrPrefix
from snapfs.remote.content_writer import abort_write
from snapfs.remote.layer_job import Begun, LayerUpload, Made, UploadReport
from snapfs.remote.layer_upload import upload_channel
from snapfs.stopping import Stop
from snapfs.unpack.messages import Failed, error_of

_log: Final = logging.getLogger(__name__)

# As containerd's own differ, which names the usual one by "", too.
_COMPRESSIONS: Final = {
    OCI_LAYER: Compression.NONE,
    OCI_LAYER_GZIP: Compression.GZIP,
    OCI_LAYER_ZSTD: Compression.ZSTD,
}

# containerd learns a moment later that the process is gone, and may write until then.
_ABORT_PAUSES_S: Final = (0.05, 0.2, 1.0)

_reports: Final = msgspec.json.Decoder(UploadReport)


class LayerMaker:
    """Makes layers and puts them into the content store of one containerd.

    Args:
        address: containerd's socket.
        prefix: Where the store keeps its marks.
    """

    def __init__(self, address: str, prefix: XattrPrefix) -> None:
        self._address = address
        self._prefix = prefix

    def make(
        self,
        before: tuple[str, ...],
        after: tuple[str, ...],
        order: LayerOrder,
        stop: Stop,
        owners: StoredOwners | None = None,
    ) -> Content:
        """Make the layer that turns one chain into another, as the order says.

        Both are directories of the store, highest first; ``owners`` says how the
        host's owners are written, in those that have such.

        Raises:
            SnapfsError: As :meth:`snapfs.differ.Differ.diff`.
        """
        media_type = order.media_type or OCI_LAYER_GZIP
        compression = _COMPRESSIONS.get(media_type)
        if compression is None:
            raise UnimplementedError(f"layers of type {media_type!r} are not made here")
        job = LayerUpload(
            address=self._address,
            namespace=order.namespace,
            lease=order.lease,
            reference=order.reference or f"snapfs-diff-{secrets.token_hex(8)}",
            labels=dict(order.labels),
            compression=compression,
            threads=len(os.sched_getaffinity(0)),
            latest_s=order.latest_s,
            before=tuple(map(os.fsencode, before)),
            after=tuple(map(os.fsencode, after)),
            xattr_prefix=self._prefix,
            owners=owners,
        )
        made = _Upload(job).run(stop)
        for warning in made.warnings:
            _log.warning("layer %s: %s", made.digest, warning)
        return Content(media_type, made.digest, made.size_bytes)


class _Upload:
    """One process; it ends when somebody asks."""

    def __init__(self, job: LayerUpload) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False
        self._has_begun = False

    def run(self, stop: Stop) -> Made:
        """Do the job; afterwards the process is gone, and no half upload is left."""
        with stop.calling(self._end):
            process = self._start()
            try:
                report = self._last_report(process)
            finally:
                process.kill()  # whoever has reported has nothing to do
                process.wait()
        if isinstance(report, Made):
            return report
        if isinstance(report, Failed):  # it has cleared up by itself
            raise error_of(report)
        if self._has_begun:
            self._abort()
        if self._is_stopped:
            raise UnavailableError("the diff was stopped")
        raise UnavailableError(
            f"the process that makes a layer ended with {process.returncode}; out of"
            " memory?"
        )

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise UnavailableError("the diff was stopped")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "snapfs.remote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
            return self._process

    def _end(self) -> None:
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _last_report(self, process: subprocess.Popen[bytes]) -> Made | Failed | None:
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout, contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(self._job) + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                if not line.endswith(b"\n"):
                    break  # killed while it wrote
                report: UploadReport = _reports.decode(line)
                if not isinstance(report, Begun):
                    return report
                self._has_begun = True
        return None

    def _abort(self) -> None:
        """Clear up after a process that could not; what fails is logged."""
        job = self._job
        for pause_s in (*_ABORT_PAUSES_S, None):
            try:
                channel = upload_channel(job.address, job.namespace, job.lease)
                with contextlib.closing(channel):
                    abort_write(channel, job.reference)
            except NotFoundError:
                return  # it was committed, or came to nothing
            except SnapfsError as error:
                if pause_s is None:
                    name = job.reference
                    _log.warning("a part of upload %r stays: %s", name, error)
                else:
                    time.sleep(pause_s)
            else:
                return
