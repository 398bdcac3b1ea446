"""The process that applies one layer: its own memory, its own crash.

It holds the lock of the staging directory too, so that nobody takes the directory
away while it still writes, whatever became of the pipeline. The nursery starts it, and
ends it with the pipeline (:mod:`snapfs.unpack.nursery`).
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from snapfs.digest import Digest
from snapfs.errors import SnapfsError
from snapfs.image.descriptor import Descriptor
from snapfs.image.files import RangeReader
from snapfs.image.source import BlobReader
from snapfs.layer.apply import apply_layer
from snapfs.layer.form import working_form
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.lower_settle import lower_needs
from snapfs.layer.marks_removal import layer_marks
from snapfs.layer.tree import LayerTree
from snapfs.overlay_format import XattrPrefix
from snapfs.tar.reader import TarReader
from snapfs.unpack.messages import (
    NO_MARKS,
    Applied,
    Failed,
    LayerJob,
    Progress,
    Report,
    StageTimes,
)
from snapfs.unpack.pipe import PipeReader
from snapfs.unpack.plain_stream import PlainStream

# Reports are for progress bars; more often nobody could see.
_REPORT_EVERY_S: Final = 0.05


class Reports:
    """Says on a channel how a layer fares."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._next_s = 0.0

    def send(self, report: Report) -> None:
        """Say something.

        Raises:
            BrokenPipeError: Nobody listens.
        """
        os.write(self._channel, msgspec.json.encode(report) + b"\n")

    def progress(self, stored_bytes: int, plain_bytes: int, entries: int) -> None:
        """Say how far it is, now and then."""
        now_s = time.perf_counter()
        if now_s >= self._next_s:
            self._next_s = now_s + _REPORT_EVERY_S
            self.send(Progress(stored_bytes, plain_bytes, entries))


def work(descriptors: Sequence[int]) -> int:
    """Read a job from a channel, do it, report there; return an exit status.

    ``descriptors``: the channel's, the blob's, that of the empty directory to fill,
    and any that are only kept open.
    """
    channel, blob, directory = descriptors[:3]
    with open(channel, "rb", closefd=False) as lines:
        line = lines.readline()
    if not line:
        return 1  # it was stopped
    job = msgspec.json.decode(line, type=LayerJob)
    if job.memory_bytes:
        # What is written to, without stacks and files: a bomb ends as MemoryError.
        limit = (job.memory_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1])
        resource.setrlimit(resource.RLIMIT_DATA, limit)
    reports = Reports(channel)
    try:
        applied, tree = apply_job(job, blob, directory, reports)
        # Whoever hears of it may unmount the snapshot.
        os.close(directory)
        reports.send(applied)
    except BrokenPipeError:
        return 1  # nobody is left to tell
    except (SnapfsError, OSError, MemoryError) as error:
        reports.send(_failure(job, error))
        return 0
    if job.cache:
        # The layer is complete without it: the pipeline goes on meanwhile.
        with contextlib.suppress(OSError, MemoryError):
            IndexCache(job.cache).save(Digest(applied.diff_id), tree.index())
    return 0


def apply_job(
    job: LayerJob, blob: int, directory: int, reports: Reports
) -> tuple[Applied, LayerTree]:
    """Apply the layer and check all that its descriptor promises.

    ``blob`` and ``directory`` are open: what the stored bytes are read from, and the
    empty directory to fill.

    Raises:
        SnapfsError: The blob or an entry is damaged or unsafe, or the disk failed.
    """
    # Every mode is set as the layer says, without a system call of its own.
    os.umask(0)
    diff_id = Digest(job.diff_id) if job.diff_id else None
    begun = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_THREAD)
    descriptor = Descriptor("", Digest(job.digest), job.size_bytes)
    form = working_form(XattrPrefix(job.xattr_prefix), directory)
    reading = _opened(job, blob)
    with PlainStream(reading, descriptor, diff_id, job.limits, job.label) as stream:
        reader = TarReader(
            stream.read_block, extension_bytes=job.limits.extension_bytes
        )

        def tick(entries: int, plain_bytes: int) -> None:
            reports.progress(stream.stored_bytes, plain_bytes, entries)

        applied = apply_layer(
            reader,
            directory,
            form,
            job.limits,
            job.policy,
            tick,
            is_lowest=job.is_lowest,
        )
        found = stream.verify()
    after = resource.getrusage(resource.RUSAGE_THREAD)
    total_s = time.perf_counter() - begun
    report = Applied(
        diff_id=str(found),
        plain_bytes=applied.plain_bytes,
        entries=applied.entries,
        size_bytes=applied.usage.size_bytes,
        inodes=applied.usage.inodes,
        needs=lower_needs(applied.tree),
        warnings=applied.warnings,
        times=StageTimes(
            read_s=stream.read_s,
            inflate_s=stream.inflate_s,
            hash_s=stream.hash_s,
            parse_s=after.ru_utime - before.ru_utime,
            write_s=after.ru_stime - before.ru_stime,
            total_s=total_s,
        ),
        marks=layer_marks(applied.tree) if job.lists_marks else NO_MARKS,
    )
    return report, applied.tree


def _opened(job: LayerJob, blob: int) -> BlobReader:
    if job.offset < 0:
        return PipeReader(blob)
    return RangeReader(blob, job.offset, job.end)


def _failure(job: LayerJob, error: Exception) -> Failed:
    if isinstance(error, SnapfsError):
        text = str(error)
        kind = type(error).__name__
    elif isinstance(error, MemoryError):
        text, kind = "the layer needs more memory", "ResourceExhaustedError"
        if job.memory_bytes:
            text += f" than the {job.memory_bytes} bytes that it may take"
    else:
        text, kind = str(error), "SnapfsError"
    if job.label not in text:
        text = f"{job.label}: {text}"
    return Failed(kind, text)
