"""Going on where a run ended: what of its file still counts, and what must agree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from snapfs.benchmarks.protocols import Target
from snapfs.benchmarks.results import Comparison, Results, encode
from snapfs.benchmarks.selection import Unit
from snapfs.errors import FailedPreconditionError


def keep(results: Results, path: Path) -> None:
    """Write ``results`` to ``path`` in one step: it is never half a file."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(encode(results))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def require_same(earlier: Results, now: Results, targets: Mapping[str, Target]) -> None:
    """Refuse to go on with what would not be one run.

    ``now`` is what a run that begins now would say of itself.

    Raises:
        FailedPreconditionError: The machine, the rules, this suite or a target has
            changed since.
    """
    if changed := ", ".join(_changes(earlier, now, targets)):
        raise FailedPreconditionError(
            f"the file cannot be gone on with, because these differ: {changed}; "
            "begin a new one, 'bench report' takes both"
        )


def _changes(
    earlier: Results, now: Results, targets: Mapping[str, Target]
) -> Iterator[str]:
    for what, before, after in (
        ("the profile", earlier.profile, now.profile),
        ("the seed", earlier.seed, now.seed),
        ("the rules", earlier.rules, now.rules),
        ("the machine", earlier.machine.identity, now.machine.identity),
        ("kernel settings", earlier.machine.settings, now.machine.settings),
        ("the version of the suite", earlier.suite_version, now.suite_version),
        ("the commit", earlier.revision, now.revision),
    ):
        if before != after:
            yield f"{what} ({before} and {after})"
    for name, target in targets.items():
        record = earlier.targets.get(name)
        if record is not None and record.fairness != target.fairness():
            yield f"the target {name}"


def measured(earlier: Results | None, unit: Unit) -> Comparison | None:
    """Return the comparison of ``unit``, if it was made, with the same targets."""
    for each in earlier.comparisons if earlier else ():
        asked = {*each.instances, *each.rejected, *each.refused} - {each.control}
        if (
            each.scenario == unit.scenario.name
            and dict(each.parameters) == dict(unit.cell.parameters)
            and each.cache is unit.cell.cache
            and each.placement == unit.placement
            and asked == {*unit.targets, *unit.refused}
        ):
            return each
    return None
