"""Questions about trees, and a tree that is presented once for all runs or for each."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import (
    CacheState,
    Cell,
    Family,
    InvalidResultError,
    Target,
    TreeTarget,
    Trial,
    Workspace,
)
from snapfs.benchmarks.targets.copied_trees import FullCopy


def why_no_tree(target: Target) -> str:
    """Say why ``target`` cannot be asked for work on a tree; "" if it can."""
    if isinstance(target, FullCopy):
        return "once it is made it is a plain-directory"
    return "" if isinstance(target, TreeTarget) else "it presents no tree"


class PresentedTree:
    """Lower directories as a tree of ``target``.

    With ``FRESH_UPPER`` each run has a tree of its own: its caches are cold, those of
    the layers below are not. Else one tree serves all runs.
    """

    def __init__(
        self, target: TreeTarget, lowerdirs: Sequence[Path], cell: Cell
    ) -> None:
        self.target: Final = target
        self._lowerdirs = lowerdirs
        self._is_anew = cell.cache is CacheState.FRESH_UPPER
        self._presented = 0
        self._root: Path | None = None
        if not self._is_anew:
            self._present()

    @property
    def root(self) -> Path:
        """The root of the tree that is shown now."""
        if self._root is None:
            raise InvalidResultError("no tree is shown")
        return self._root

    def set_up(self) -> None:
        """Present a tree, if each run has its own."""
        if self._is_anew:
            self._present()

    def tear_down(self) -> None:
        """Dismiss what :meth:`set_up` presented."""
        if self._is_anew:
            self.close()

    def close(self) -> None:
        """Dismiss the tree, if one is shown."""
        if self._root is not None:
            self._root = None
            self.target.dismiss(f"tree{self._presented}")

    def _present(self) -> None:
        self._presented += 1
        self._root = self.target.present(self._lowerdirs, f"tree{self._presented}")


class TreeTrial(Trial):
    """A trial on a tree. A subclass presents ``tree`` last of all that can fail."""

    tree: PresentedTree

    def set_up(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.set_up`."""
        self.tree.set_up()

    def tear_down(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.tear_down`."""
        self.tree.tear_down()

    def close(self) -> None:
        """See :meth:`snapfs.benchmarks.protocols.Trial.close`."""
        self.tree.close()


class TreeScenario(abc.ABC):
    """What all :class:`snapfs.benchmarks.protocols.Scenario` about trees share.

    A subclass has a name, a question, an operation, cells and their trials.
    """

    family = Family.TREE
    baselines: Sequence[str] = ("kernel-overlayfs", "plain-directory")

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        return why_no_tree(target)

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        assert isinstance(target, TreeTarget)
        return self.trial(target, cell, workspace, seed)

    @abc.abstractmethod
    def trial(
        self, target: TreeTarget, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """Return the trial of ``target`` at ``cell``; see ``Scenario.open``."""
