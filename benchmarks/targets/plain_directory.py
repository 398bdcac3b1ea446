"""The floor: a plain directory that holds a full copy of the merged tree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from snapfs.benchmarks.protocols import NO_COUNTS, Fairness, Family, Workspace


class PlainDirectory:
    """Presents a tree by copying the lower directories: no union at all.

    It knows no whiteouts: the lower directories must be plain trees.
    """

    name = "plain-directory"
    summary = "a full copy on the backing filesystem: what no union can beat"
    family = Family.TREE

    def __init__(self) -> None:
        self._trees: Path | None = None

    def fairness(self) -> Fairness:
        """See :meth:`snapfs.benchmarks.protocols.Target.fairness`."""
        return Fairness(
            durability="as the backing filesystem; nothing is synced",
            cache="the kernel's page, dentry and inode caches",
            threads="none of its own",
            privileges="none",
            notes="presenting a tree copies all of it",
        )

    def unavailable(self) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Target.unavailable`."""
        return ""

    def start(self, workspace: Workspace) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.start`."""
        trees = workspace.directory / "trees"
        trees.mkdir()
        self._trees = trees

    def stop(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.stop`."""
        if self._trees is not None:
            shutil.rmtree(self._trees)
            self._trees = None

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.processes`."""
        return ()

    def forget_caches(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Target.forget_caches`."""

    def counts(self) -> Mapping[str, int]:
        """See :meth:`snapfs.benchmarks.protocols.Target.counts`."""
        return NO_COUNTS

    def present(self, lowerdirs: Sequence[Path], name: str) -> Path:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.present`."""
        merged = self._tree(name)
        merged.mkdir()
        for lowerdir in reversed(lowerdirs):
            shutil.copytree(lowerdir, merged, symlinks=True, dirs_exist_ok=True)
        return merged

    def dismiss(self, name: str) -> None:
        """See :meth:`snapfs.benchmarks.protocols.TreeTarget.dismiss`."""
        shutil.rmtree(self._tree(name))

    def _tree(self, name: str) -> Path:
        assert self._trees is not None, "not started"
        assert os.sep not in name
        return self._trees / name
