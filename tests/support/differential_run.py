"""Runs of the differential fuzzer: find a difference, and cut it down to its cause."""

from __future__ import annotations

import dataclasses
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from support.differential_choices import Choices
from support.differential_explained import Difference
from support.differential_operations import Operation, Outcome
from support.differential_plan import Plan
from support.differential_world import World, paths_in

LOOK_EVERY: Final = 25
CYCLE_EVERY: Final = 220
# When so few operations are left, looking after each tells which one it was.
_FEW: Final = 40
_SHOWN_DIFFERENCES: Final = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """A difference, and the operations that lead to it."""

    plan: Plan
    operations: Sequence[Operation]
    differences: Sequence[Difference]
    layers: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [f"{self.plan}: {len(self.operations)} operations"]
        lines += [f"  {line}" for line in self.layers]
        lines += [f"  {operation}" for operation in self.operations]
        lines += [str(d) for d in self.differences[:_SHOWN_DIFFERENCES]]
        hidden = len(self.differences) - _SHOWN_DIFFERENCES
        if hidden > 0:
            lines.append(f"and {hidden} more")
        return "\n".join(lines)


def explore(
    plan: Plan,
    steps: int,
    directory: Path,
    progress: Callable[[int, Operation, Outcome], None] = lambda *_: None,
) -> tuple[Failure | None, int]:
    """Do ``steps`` random operations on both sides.

    Returns:
        The first difference, and how many of the engine's servers were killed.
    """
    choices = Choices(random.Random(f"operations {plan.seed}"), CYCLE_EVERY)
    done: list[Operation] = []
    with World(plan, directory) as world:
        view, found = world.look()
        while not found and len(done) < steps:
            if len(done) % LOOK_EVERY == 0:
                choices.learn(view)
            operation = choices.next()
            done.append(operation)
            outcome, found = world.perform(operation)
            choices.learn_outcome(operation, outcome)
            progress(len(done), operation, outcome)
            if not found and len(done) % LOOK_EVERY == 0:
                view, found = world.look()
        found = found or world.finish()
        deaths = world.deaths
    return (Failure(plan, done, found) if found else None), deaths


def replay(
    plan: Plan, operations: Sequence[Operation], directory: Path
) -> Failure | None:
    """Do ``operations`` again, from the same layers; return the first difference."""
    look_every = 1 if len(operations) <= _FEW else LOOK_EVERY
    with World(plan, directory) as world:
        _, found = world.look()
        done = 0
        while not found and done < len(operations):
            _, found = world.perform(operations[done])
            done += 1
            if not found and done % look_every == 0:
                _, found = world.look()
        found = found or world.finish()
        layers = tuple(world.layers_with(paths_in(operations[:done])))
    return Failure(plan, operations[:done], found, layers) if found else None


def shrink(failure: Failure, directory: Path, time_limit_s: float = 60) -> Failure:
    """Return the same failure with as few operations as the time allows.

    Delta debugging: pieces are left out, large ones first, as long as a difference of
    the same kind remains (A. Zeller, R. Hildebrandt: Simplifying and Isolating
    Failure-Inducing Input, 2002).
    """
    deadline = time.monotonic() + time_limit_s
    wanted = {difference.signature for difference in failure.differences}

    def fails(operations: Sequence[Operation]) -> Failure | None:
        with tempfile.TemporaryDirectory(dir=directory) as fresh:
            found = replay(failure.plan, operations, Path(fresh))
        if found and wanted & {each.signature for each in found.differences}:
            return found
        return None

    best = fails(failure.operations) or failure
    piece = max(1, len(best.operations) // 2)
    while time.monotonic() < deadline:
        smaller = _without_one_piece(best, piece, fails, deadline)
        if smaller is not None:
            best = smaller
            piece = min(piece, max(1, len(best.operations) // 2))
        elif piece == 1:
            break
        else:
            piece //= 2
    return best


def _without_one_piece(
    failure: Failure,
    piece: int,
    fails: Callable[[Sequence[Operation]], Failure | None],
    deadline: float,
) -> Failure | None:
    """Leave out whatever pieces of that size can go; None if none can."""
    best, changed = failure, False
    # From the end: what comes last decides, what comes first often only fills.
    start = len(best.operations) - piece
    while start > -piece and time.monotonic() < deadline:
        first = max(start, 0)
        rest = [*best.operations[:first], *best.operations[start + piece :]]
        smaller = fails(rest) if len(rest) < len(best.operations) else None
        if smaller is not None:
            best, changed = smaller, True
            start = min(start, len(best.operations))
        start -= piece
    return best if changed else None
