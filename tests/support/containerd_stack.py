"""containerd with snapfs as its snapshotter, for as many tests as can share one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from support.containerd import Containerd, Generation
from support.sandbox import Sandbox
from support.snapfs_program import PROXY_NAME, SnapfsProgram


class Stack(NamedTuple):
    """Both services, in one sandbox."""

    containerd: Containerd
    snapfs: SnapfsProgram


@contextlib.contextmanager
def running_stack(generation: Generation) -> Iterator[Stack]:
    """Run both; at the end the store must be consistent."""
    with Sandbox() as sandbox:
        snapfs = SnapfsProgram(sandbox)
        snapfs.serve()
        toml = snapfs.containerd_toml(generation.version)
        yield Stack(Containerd(sandbox, generation, PROXY_NAME, toml), snapfs)
        assert snapfs.records("check", "--deep") == []
