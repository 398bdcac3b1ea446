"""A scenario with other cells, or fewer targets, than its profiles have."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from snapfs.benchmarks.protocols import (
    Cell,
    Family,
    Profile,
    Scenario,
    Target,
    Trial,
    Workspace,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Narrowed:
    """The question of ``scenario``, asked ``targets`` at ``chosen`` cells only."""

    scenario: Scenario
    chosen: Sequence[Cell]
    targets: Collection[str]

    @property
    def name(self) -> str:
        """See :attr:`snapfs.benchmarks.protocols.Scenario.name`."""
        return self.scenario.name

    @property
    def question(self) -> str:
        """See :attr:`snapfs.benchmarks.protocols.Scenario.question`."""
        return self.scenario.question

    @property
    def family(self) -> Family:
        """See :attr:`snapfs.benchmarks.protocols.Scenario.family`."""
        return self.scenario.family

    @property
    def operation(self) -> str:
        """See :attr:`snapfs.benchmarks.protocols.Scenario.operation`."""
        return self.scenario.operation

    @property
    def baselines(self) -> Sequence[str]:
        """See :attr:`snapfs.benchmarks.protocols.Scenario.baselines`."""
        return self.scenario.baselines

    def cells(self, profile: Profile) -> Sequence[Cell]:
        """Return the chosen cells, whatever the profile."""
        return self.chosen

    def refuses(self, target: Target) -> str:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.refuses`."""
        if target.name not in self.targets:
            return "it is not asked here"
        return self.scenario.refuses(target)

    def open(
        self, target: Target, cell: Cell, workspace: Workspace, seed: int
    ) -> Trial:
        """See :meth:`snapfs.benchmarks.protocols.Scenario.open`."""
        return self.scenario.open(target, cell, workspace, seed)
