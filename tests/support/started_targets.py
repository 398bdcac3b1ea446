"""Targets of the benchmark suite, started in a directory of the test's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from snapfs import mountinfo
from snapfs.benchmarks.protocols import Target, Workspace

_TargetT = TypeVar("_TargetT", bound=Target)


def new_workspace(directory: Path) -> Workspace:
    """Make ``directory``; return it as a workspace."""
    directory.mkdir()
    return Workspace(directory, directory, "as found")


@contextlib.contextmanager
def started(target: _TargetT, workspace: Workspace) -> Iterator[_TargetT]:
    """Start a target, or skip what cannot run here; it must leave nothing mounted."""
    if reason := target.unavailable():
        pytest.skip(reason)
    target.start(workspace)
    yield target
    target.stop()
    assert not mountinfo.mounts_below(str(workspace.directory))
