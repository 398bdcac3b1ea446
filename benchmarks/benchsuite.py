"""containerd's own snapshotter benchmark, as a peer for the lifecycle.

core/snapshots/benchsuite asks containerd's snapshotters in its own process; its
benchmark is not exported. So its files are copied out of the module cache and compiled
together with ours, which asks a snapshotter behind a socket (``go/benchsuite``).
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import Cell, Trial
from snapfs.benchmarks.scenarios.layer_chain import (
    ALL,
    FILES_MADE,
    LAYERS,
    WRITE,
    ChainTrial,
)
from snapfs.errors import UnavailableError

_MODULE: Final = "github.com/containerd/containerd/v2"
_UPSTREAM: Final = "core/snapshots/benchsuite"
_OURS: Final = Path(__file__).parent / "go"
# What the bytes of one file take; a line of ours.
_CONTENT: Final = "content"

# BenchmarkProxy/prepare    1    26800000 ns/op
_LINE: Final = re.compile(r"^BenchmarkProxy/([a-z]+)\S*\s+\d+\s+([\d.]+) ns/op", re.M)


class BenchSuite:
    """The upstream benchmark: one chain of sixteen layers from nothing."""

    name = "benchsuite"

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.peers.Peer.unavailable`."""
        if shutil.which("go") is None:
            return "containerd's benchsuite is a Go program, and there is no go in PATH"
        try:
            _program()
        except UnavailableError as error:
            return str(error)
        return ""

    def version(self) -> str:
        """See :meth:`snapfs.benchmarks.peers.Peer.version`."""
        words = _go(_OURS, "list", "-m", "-f", "{{.Version}}", _MODULE)
        return f"containerd benchsuite {words.strip()}"

    def measure(self, trial: Trial, cell: Cell) -> list[float]:
        """See :meth:`snapfs.benchmarks.peers.Peer.measure`."""
        assert isinstance(trial, ChainTrial)
        try:
            told = self._run(trial.address)
        finally:
            trial.empty()
        return [seconds_a_layer(told, str(cell.parameters["phase"]))]

    def _run(self, address: str) -> str:
        """Run it once; return what it prints."""
        done = subprocess.run(  # noqa: S603 - built from its sources
            [
                *(_program(), "-test.bench=^BenchmarkProxy$", "-test.run=^$"),
                *("-test.benchtime=1x", f"-proxy.address={address}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise UnavailableError(f"benchsuite: {(done.stdout + done.stderr)[-500:]}")
        return done.stdout


def seconds_a_layer(told: str, phase: str) -> float:
    """Return what one layer took in ``phase``, as the program told it.

    It makes random bytes while it writes. That is no work of a snapshotter's: what it
    takes, told in the line ``content`` for one file, is taken off.

    Raises:
        UnavailableError: A line is missing.
    """
    found = {word: float(ns) / 1e9 for word, ns in _LINE.findall(told)}
    line = "run" if phase == ALL else phase
    if line not in found or _CONTENT not in found:
        raise UnavailableError(f"benchsuite says nothing of {line}: {found}")
    content = found[_CONTENT] * FILES_MADE if phase in (ALL, WRITE) else 0.0
    return (found[line] - content) / LAYERS


@functools.cache
def _program() -> str:
    """Build it in a directory that is gone when this process ends; return its path."""
    directory = _scratch().name
    upstream = Path(_go(_OURS, "list", "-m", "-f", "{{.Dir}}", _MODULE).strip())
    if not upstream.name:  # listed, but never fetched
        _go(_OURS, "mod", "download", _MODULE)
        upstream = Path(_go(_OURS, "list", "-m", "-f", "{{.Dir}}", _MODULE).strip())
    for source in (
        *(_OURS / "go.mod", _OURS / "go.sum"),
        *(_OURS / "benchsuite").glob("*.go"),
        *(upstream / _UPSTREAM).glob("*.go"),
    ):
        # Not with its mode: files of the module cache are read-only.
        shutil.copyfile(source, Path(directory) / source.name)
    # Its tests need modules that we do not: containerd's go.mod says which versions.
    flags = ("-mod=mod", "-tags=benchsuite")
    _go(Path(directory), "test", *flags, "-c", "-o", "benchsuite", ".")
    return str(Path(directory) / "benchsuite")


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="snapfs-benchsuite-")


def _go(directory: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["go", *words],  # noqa: S607 - of the PATH, as for our own programs
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise UnavailableError(f"go {words[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout
