"""The process that applies one layer: its own interpreter, its own crash.

It holds the lock of the staging directory too, so that nobody takes the directory
away while it still writes, whatever became of the pipeline. When it reports to a
pipeline that is gone, it ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
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


def main() -> int:
    """Read the job from standard input, do it, report on standard output."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=LayerJob)
    if job.memory_bytes:
        # What is written to, without stacks and files: a bomb ends as MemoryError.
        limit = (job.memory_bytes, resource.getrlimit(resource.RLIMIT_DATA)[1])
        resource.setrlimit(resource.RLIMIT_DATA, limit)
    try:
        applied, tree = apply_job(job)
        # Whoever hears of it may unmount the snapshot.
        os.close(job.directory)
        _report(applied)
    except BrokenPipeError:
        return 1  # nobody is left to tell
    except (SnapfsError, OSError, MemoryError) as error:
        _report(_failure(job, error))
        return 0
    if job.cache:
        # The layer is complete without it: the pipeline goes on meanwhile.
        with contextlib.suppress(OSError, MemoryError):
            IndexCache(job.cache).save(Digest(applied.diff_id), tree.index())
    return 0


def apply_job(job: LayerJob) -> tuple[Applied, LayerTree]:
    """Apply the layer and check all that its descriptor promises.

    Raises:
        SnapfsError: The blob or an entry is damaged or unsafe, or the disk failed.
    """
    # Every mode is set as the layer says, without a system call of its own.
    os.umask(0)
    diff_id = Digest(job.diff_id) if job.diff_id else None
    begun = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_THREAD)
    descriptor = Descriptor("", Digest(job.digest), job.size_bytes)
    form = working_form(XattrPrefix(job.xattr_prefix), job.directory)
    with PlainStream(_blob(job), descriptor, diff_id, job.limits, job.label) as stream:
        reader = TarReader(
            stream.read_block, extension_bytes=job.limits.extension_bytes
        )
        ticker = _Ticker(stream)
        applied = apply_layer(
            reader,
            job.directory,
            form,
            job.limits,
            job.policy,
            ticker.tick,
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


def _blob(job: LayerJob) -> BlobReader:
    if job.offset < 0:
        return PipeReader(job.blob)
    return RangeReader(job.blob, job.offset, job.end)


class _Ticker:
    """Reports progress, now and then."""

    def __init__(self, stream: PlainStream) -> None:
        self._stream = stream
        self._next_s = 0.0

    def tick(self, entries: int, plain_bytes: int) -> None:
        now_s = time.perf_counter()
        if now_s >= self._next_s:
            self._next_s = now_s + _REPORT_EVERY_S
            _report(Progress(self._stream.stored_bytes, plain_bytes, entries))


def _report(report: Report) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")


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
