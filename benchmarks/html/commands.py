"""The command that measures one cell again, as it was measured."""

from __future__ import annotations

import shlex
from typing import Final

from snapfs.benchmarks.html.collection import Entry
from snapfs.benchmarks.placement import Placement

_CPUS: Final = {
    Placement.ONE_CPU: "1",
    Placement.TWO_CPUS: "2",
    Placement.FREE: "free",
}

# What decides where a run measures and what it compares with: taken over from its
# command.
_KEPT: Final = ("--baseline", "--backing", "--size-mb", "--directory", "--with")


def repeat_command(entry: Entry) -> str:
    """Return a line for a shell that makes the comparison of ``entry`` again.

    Runs of other commands than ``bench run`` choose their cells themselves: theirs
    is repeated whole.
    """
    run, comparison = entry.run, entry.comparison
    if "run" not in run.command:
        return shlex.join(run.command)
    targets = sorted(
        {*comparison.instances, *comparison.rejected} - {comparison.control}
    )
    cell = [f"{name}={value}" for name, value in comparison.parameters.items()]
    return shlex.join(
        (
            *("snapfs", "bench", "run", "--profile", run.profile),
            *("--only", comparison.scenario),
            *("--cell", " ".join([*cell, str(comparison.cache)])),
            *("--cpus", _CPUS[Placement(comparison.placement)]),
            *("--targets", ",".join(targets)),
            *("--seed", str(run.seed)),
            *_kept(run.command),
        )
    )


def _kept(command: tuple[str, ...]) -> list[str]:
    found: list[str] = []
    for index, word in enumerate(command):
        name, equals, _ = word.partition("=")
        if name in _KEPT:
            found.append(word)
            if not equals:
                found.extend(command[index + 1 : index + 2])
    return found
