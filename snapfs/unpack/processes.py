"""The pipeline's side of a worker: start it, feed it, hear it, end it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec

from snapfs.errors import SnapfsError, UnavailableError
from snapfs.image.files import RangeReader
from snapfs.image.source import BlobReader
from snapfs.unpack.messages import (
    Applied,
    Failed,
    LayerJob,
    Progress,
    Report,
    error_of,
)
from snapfs.unpack.pipe import pump, wide_pipe

_reports = msgspec.json.Decoder(Report)


class LayerProcess:
    """One worker process; ``stop`` may be called from another thread at any time.

    After ``run`` has returned, the process may still write its cache of the layer:
    ``finish`` waits for that, and must be called in any case.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def run(
        self,
        job: LayerJob,
        blob: BlobReader,
        inherited: Sequence[int],
        on_progress: Callable[[Progress], None],
    ) -> Applied:
        """Have a layer applied; return what it came to.

        ``job`` names the directory's descriptor, not the blob's: that is found here.
        ``inherited`` are descriptors that the process keeps open besides.

        Raises:
            SnapfsError: As the worker reported it, or reading the blob failed.
            UnavailableError: The worker died, or :meth:`stop` was called.
        """
        writing = -1
        if isinstance(blob, RangeReader):
            job = msgspec.structs.replace(
                job, blob=blob.descriptor, offset=blob.position, end=blob.end
            )
        else:
            reading, writing = wide_pipe()
            job = msgspec.structs.replace(job, blob=reading, offset=-1)
        process = self._start((job.blob, job.directory, *inherited))
        if writing >= 0:
            os.close(job.blob)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it says why, or died
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
        feeder = _Feeder(blob, writing) if writing >= 0 else None
        report: Applied | Failed | None = None
        try:
            report = _last_report(process, on_progress)
        finally:
            if not isinstance(report, Applied):
                process.kill()  # what it does not read any more, nobody writes
                process.wait()
            if feeder is not None:
                feeder.end()  # nor waits for
        if feeder is not None and feeder.error is not None:
            raise feeder.error
        if isinstance(report, Failed):
            raise error_of(report)
        if report is None:
            raise self._death(job, process)
        return report

    def finish(self) -> None:
        """Wait for the end of the process, if there is one; it may be called twice."""
        if self._process is None:
            return
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):  # of what it never read
            stdin.close()
        self._process.wait()
        stdout.close()

    def stop(self) -> None:
        """End the process now; ``run`` fails, also if it had not begun."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _start(self, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_stopped:
                raise UnavailableError("the unpack was stopped")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "snapfs.unpack"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=descriptors,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the pipeline to handle
            )
            return self._process

    def _death(
        self, job: LayerJob, process: subprocess.Popen[bytes]
    ) -> UnavailableError:
        if self._is_stopped:
            return UnavailableError("the unpack was stopped")
        return UnavailableError(
            f"{job.label}: the process that applied it ended with"
            f" {process.returncode}; out of memory?"
        )


class _Feeder(threading.Thread):
    """Writes a blob into a pipe, and closes that."""

    def __init__(self, blob: BlobReader, writing: int) -> None:
        super().__init__(name="feed", daemon=True)
        self.error: SnapfsError | OSError | None = None
        self._blob = blob
        self._writing = writing
        self._is_ended = False
        self.start()

    def end(self) -> None:
        """End the thread; what fails from here on is the end's fault."""
        self._is_ended = True
        self._blob.close()
        self.join()

    def run(self) -> None:
        try:
            pump(self._blob, self._writing)
        except BrokenPipeError:
            pass  # the worker has said why, or is dead
        except (SnapfsError, OSError) as error:
            if not self._is_ended:
                self.error = error
        finally:
            os.close(self._writing)


def _last_report(
    process: subprocess.Popen[bytes], on_progress: Callable[[Progress], None]
) -> Applied | Failed | None:
    assert process.stdout is not None
    for line in process.stdout:
        if not line.endswith(b"\n"):
            break  # killed while it wrote
        report: Report = _reports.decode(line)
        if not isinstance(report, Progress):
            return report
        on_progress(report)
    return None
