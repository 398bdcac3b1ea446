"""Other instruments: hyperfine for whole commands, fio for throughput.

containerd's own benchmark of snapshotters is in ``benchsuite.py``.

Each measures what a trial of ours measures, on the same tree, by its own means.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Protocol

from snapfs.benchmarks import programs
from snapfs.benchmarks.protocols import Cell, Trial
from snapfs.benchmarks.scenarios.command_time import ENVIRONMENT, CommandTrial
from snapfs.benchmarks.scenarios.sequential_throughput import (
    BLOCK_BYTES,
    ThroughputTrial,
)
from snapfs.errors import UnavailableError


class Peer(Protocol):
    """An instrument of somebody else."""

    @property
    def name(self) -> str:
        """The name of its program."""
        ...

    def unavailable(self) -> str:
        """Say why it cannot be asked here; "" if it can."""
        ...

    def version(self) -> str:
        """Return what it says of itself."""
        ...

    def measure(self, trial: Trial, cell: Cell) -> list[float]:
        """Return times of one operation, in seconds, of ``cell.runs`` runs in all.

        Raises:
            UnavailableError: It failed; the text has its words.
        """
        ...


class Program:
    """A peer that is a program on the search path."""

    name = ""

    def unavailable(self) -> str:
        """See :meth:`Peer.unavailable`."""
        return "" if shutil.which(self.name) else f"{self.name} is not installed"

    def version(self) -> str:
        """See :meth:`Peer.version`."""
        return programs.run(self.name, "--version").strip()


class Hyperfine(Program):
    """hyperfine(1) without a shell, in the environment that our commands have."""

    name = "hyperfine"

    def measure(self, trial: Trial, cell: Cell) -> list[float]:
        """See :meth:`Peer.measure`."""
        assert isinstance(trial, CommandTrial)
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.json"
            _run(
                *(self.name, "--shell=none", "--style=none", "--ignore-failure"),
                *(f"--warmup={cell.warmups}", f"--runs={cell.runs}"),
                *(f"--export-json={report}", shlex.join(trial.words)),
            )
            (result,) = json.loads(report.read_text())["results"]
        if set(result["exit_codes"]) != {trial.status}:
            raise UnavailableError(f"hyperfine saw statuses {result['exit_codes']}")
        return [float(seconds) for seconds in result["times"]]


# A new process reads its first megabytes at half its later speed. We time it warm, and
# so must fio: what it reads for so long first does not count, as our warm-up.
_RAMP_MS: Final = 200


class Fio(Program):
    """fio(1) with synchronous reads and writes, one block at a time.

    A time is the mean of the blocks' latencies: the time of the whole job is known in
    milliseconds only. Reads are one job that reads the file again and again; a file
    that is to be written anew needs a job for each run.
    """

    name = "fio"

    def measure(self, trial: Trial, cell: Cell) -> list[float]:
        """See :meth:`Peer.measure`."""
        assert isinstance(trial, ThroughputTrial)
        if not trial.is_write:
            return [self._read(trial, cell)]
        runs = range(cell.warmups + cell.runs)
        return [self._write(trial, cell) for _ in runs][cell.warmups :]

    def _read(self, trial: ThroughputTrial, cell: Cell) -> float:
        words = ("--rw=read", "--allow_file_create=0", "--time_based")
        times = (f"--ramp_time={_RAMP_MS}ms", f"--runtime={_RAMP_MS}ms")
        found = self._run(trial, cell, *words, *times)
        return float(found["read"]["lat_ns"]["mean"]) / 1e9

    def _write(self, trial: ThroughputTrial, cell: Cell) -> float:
        # Its default changes the buffer before each write: work that we do not do.
        words = ("--rw=write", "--fallocate=none", "--unlink=1", "--scramble_buffers=0")
        found = self._run(trial, cell, *words)["write"]
        size = cell.operations * BLOCK_BYTES
        if found["io_bytes"] != size:
            raise UnavailableError(f"fio wrote {found['io_bytes']} of {size} bytes")
        return float(found["lat_ns"]["mean"]) / 1e9

    def _run(self, trial: ThroughputTrial, cell: Cell, *words: str) -> dict[str, Any]:
        """Run one job; return what it reports of it."""
        # Whole pages of its own, as ours are; and the page cache stays as it is.
        memory = ("--iomem=mmap", "--invalidate=0", "--thread", "--ioengine=psync")
        size = cell.operations * BLOCK_BYTES
        printed = _run(
            *(self.name, "--name=peer", f"--filename={trial.file}", f"--size={size}"),
            *(f"--bs={BLOCK_BYTES}", *memory, *words, "--output-format=json"),
        )
        # Warnings, if there are any, come before the report.
        (job,) = json.loads(printed[printed.index("{") :])["jobs"]
        if job["error"]:
            raise UnavailableError(f"fio ended with error {job['error']}")
        return dict(job)


def _run(*words: str) -> str:
    done = subprocess.run(  # noqa: S603 - hyperfine and fio
        words,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**ENVIRONMENT, "PATH": os.pathsep.join(os.get_exec_path())},
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(f"{words[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout
