"""The Go programs of the suite: built when they are first needed, then kept.

They are built in a checkout only, into its git-ignored ``.cache/benchmarks``: an
installed wheel brings no Go sources, and what needs them says so.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_CACHE: Final = _REPOSITORY / ".cache" / "benchmarks"

# As scripts/go-build has it for containerd itself: packages that both need, most of
# them, are compiled once.
_BUILD: Final = (
    *("env", "CGO_ENABLED=0", "GOFLAGS=", "go", "build", "-trimpath"),
    *("-tags", "no_btrfs,no_devmapper,no_zfs,no_aufs,no_tracing"),
)

_CONTAINERD_MODULE: Final = "github.com/containerd/containerd/v2"


class BuildError(Exception):
    """A program cannot be built; the message has the end of Go's own words."""


@dataclasses.dataclass(frozen=True, slots=True)
class GoProgram:
    """One program: the package ``name`` in the module below ``module``."""

    name: str
    module: Path

    def unavailable(self) -> str:
        """Say why it can neither be run nor built; "" if it can."""
        if not (self.module / "go.mod").exists():
            return f"the sources of {self.name} are in a checkout of snapfs only"
        if self._is_current() or shutil.which("go") is not None:
            return ""
        return f"{self.name} is a Go program, and there is no go in PATH to build it"

    def build(self) -> Path:
        """Return the path of the program, built from its present sources.

        Two processes may build at a time: each result appears by a rename.

        Raises:
            BuildError: Go refuses, or a module cannot be had.
        """
        if self._is_current():
            return self._binary
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as directory:
            built = Path(directory) / self.name
            done = subprocess.run(  # noqa: S603 - our own sources
                [*_BUILD, "-o", str(built), f"./{self.name}"],
                cwd=self.module,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise BuildError(f"go build {self.name}: {done.stderr.strip()[-2000:]}")
            os.replace(built, self._binary)
        return self._binary

    def containerd_version(self) -> str:
        """Return the version of containerd that the module pins; "" if unknown."""
        try:
            lines = (self.module / "go.mod").read_text().splitlines()
        except FileNotFoundError:
            return ""
        for line in lines:
            words = line.split()
            if words[:1] == [_CONTAINERD_MODULE]:
                return words[1]
        return ""

    @property
    def _binary(self) -> Path:
        return _CACHE / self.name

    def _is_current(self) -> bool:
        """Whether it was built after the last change of its sources."""
        try:
            built_ns = self._binary.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        return all(source.stat().st_mtime_ns < built_ns for source in self._sources())

    def _sources(self) -> Iterator[Path]:
        yield self.module / "go.mod"
        yield self.module / "go.sum"
        yield from (self.module / self.name).glob("*.go")


OVERLAYD: Final = GoProgram(
    "overlayd", _REPOSITORY / "tests" / "conformance" / "go"
)  # containerd's overlayfs snapshotter behind a socket
LOAD: Final = GoProgram(
    "load", _REPOSITORY / "benchmarks" / "go"
)  # containerd's client, timing each call
