"""The pipeline's side of a worker: feed it, hear it, end it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO

import msgspec

from snapfs.errors import ResourceExhaustedError, SnapfsError, UnavailableError
from snapfs.image.files import RangeReader
from snapfs.image.source import BlobReader
from snapfs.unpack.messages import (
    Applied,
    Ended,
    Failed,
    LayerJob,
    Progress,
    Report,
    error_of,
)
from snapfs.unpack.pipe import pump, wide_pipe
from snapfs.unpack.starting import LayerProcesses

_reports = msgspec.json.Decoder(Report)


class LayerProcess:
    """One worker process; ``stop`` may be called from another thread at any time.

    After ``run`` has returned, the process may still write its cache of the layer:
    ``finish`` waits for that, and must be called in any case.
    """

    def __init__(self, processes: LayerProcesses) -> None:
        self._processes = processes
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._lines: BinaryIO | None = None
        self._ended = Ended()
        self._is_stopped = False

    def run(
        self,
        job: LayerJob,
        blob: BlobReader,
        directory: int,
        on_progress: Callable[[Progress], None],
        held: Sequence[int] = (),
    ) -> Applied:
        """Have a layer applied; return what it came to.

        ``directory`` is open, and empty. Where the stored bytes are is found here,
        whatever ``job`` says. ``held`` are descriptors that the process keeps open.

        Raises:
            SnapfsError: As the worker reported it, or reading the blob failed.
            ResourceExhaustedError: There is no process to be had.
            UnavailableError: The worker died, or :meth:`stop` was called.
        """
        reading = writing = -1
        if isinstance(blob, RangeReader):
            job = msgspec.structs.replace(job, offset=blob.position, end=blob.end)
            source = blob.descriptor
        else:
            reading, writing = wide_pipe()
            source = reading
        try:
            channel = self._start(job, (source, directory, *held))
        except BaseException:
            if writing >= 0:
                os.close(writing)
            raise
        finally:
            if reading >= 0:
                os.close(reading)
        with contextlib.suppress(OSError):  # it says why, or died
            channel.sendall(msgspec.json.encode(job) + b"\n")
        feeder = _Feeder(blob, writing) if writing >= 0 else None
        report: Applied | Failed | None = None
        try:
            report = self._last_report(on_progress)
        finally:
            if not isinstance(report, Applied):
                self._end(channel)  # what it does not read any more, nobody writes
                self._wait()
            if feeder is not None:
                feeder.end()  # nor waits for
        if feeder is not None and feeder.error is not None:
            raise feeder.error
        if isinstance(report, Failed):
            raise error_of(report)
        if report is None:
            raise self._death(job)
        return report

    def finish(self) -> None:
        """Wait for the end of the process, if there is one; it may be called twice."""
        if self._lines is None:
            return
        self._wait()
        with self._lock:
            self._lines.close()
            self._lines = None
            assert self._channel is not None
            self._channel.close()
            self._channel = None
        self._processes.release()

    def stop(self) -> None:
        """End the process now; ``run`` fails, also if it had not begun."""
        with self._lock:
            self._is_stopped = True
            if self._channel is not None:
                self._end(self._channel)

    def _start(self, job: LayerJob, descriptors: Sequence[int]) -> socket.socket:
        with self._lock:
            if self._is_stopped:
                raise UnavailableError("the unpack was stopped")
            try:
                self._channel = self._processes.start(descriptors)
            except OSError as error:
                raise _none(job, error.strerror) from error
            self._lines = self._channel.makefile("rb")
            return self._channel

    @staticmethod
    def _end(channel: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it has ended
            channel.shutdown(socket.SHUT_WR)  # which the nursery sees

    def _wait(self) -> None:
        """Read what the process still says, until it has ended."""
        while self._last_report(lambda _progress: None) is not None:
            pass

    def _last_report(
        self, on_progress: Callable[[Progress], None]
    ) -> Applied | Failed | None:
        """Return what the process says at the end of its job; None if it has ended."""
        assert self._lines is not None
        while line := self._read_line():
            try:
                report: Report = _reports.decode(line)
            except msgspec.DecodeError:
                continue  # killed while it wrote, or the empty line after that
            if isinstance(report, Ended):
                self._ended = report
                break
            if not isinstance(report, Progress):
                return report
            on_progress(report)
        return None

    def _read_line(self) -> bytes:
        assert self._lines is not None
        try:
            return self._lines.readline()
        except ConnectionError:
            return b""  # killed before it read its job

    def _death(self, job: LayerJob) -> SnapfsError:
        if self._is_stopped:
            return UnavailableError("the unpack was stopped")
        if self._ended.why:
            return _none(job, self._ended.why)
        how = f" with {self._ended.status}" if self._ended.status else ""
        return UnavailableError(
            f"{job.label}: the process that applied it ended{how}; out of memory?"
        )


def _none(job: LayerJob, why: str | None) -> ResourceExhaustedError:
    return ResourceExhaustedError(f"{job.label}: no process can apply it: {why}")


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
