"""Going on where a run ended: what of its file still counts, and what must agree."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
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


def require_same(
    earlier: Results, now: Results, targets: Mapping[str, Target], filesystem: str
) -> None:
    """Refuse to go on with what would not be one run.

    ``now`` is what a run that begins now, on ``filesystem``, would say of itself.

    Raises:
        FailedPreconditionError: The machine, the filesystem, the rules, this suite or
            a target has changed since.
    """
    if changed := ", ".join(_changes(earlier, now, targets, filesystem)):
        raise FailedPreconditionError(
            f"the file cannot be gone on with, because these differ: {changed}; "
            "begin a new one, 'bench report' takes both"
        )


def _changes(
    earlier: Results, now: Results, targets: Mapping[str, Target], filesystem: str
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
    for kind in sorted({each.filesystem for each in earlier.comparisons}):
        if kind != filesystem:
            yield f"the filesystem ({kind} and {filesystem})"
    for name, target in targets.items():
        record = earlier.targets.get(name)
        if record is not None and record.fairness != target.fairness():
            yield f"the target {name}"


def measured(
    earlier: Results | None, unit: Unit, baselines: Sequence[str]
) -> Comparison | None:
    """Return the comparison of ``unit``, if it was made, with the same targets.

    The first of ``baselines`` that took part must be what it compares with.
    """
    for each in earlier.comparisons if earlier else ():
        asked = {*each.instances, *each.rejected, *each.refused} - {each.control}
        reference = next(filter(each.instances.__contains__, baselines), "")
        if (
            each.name == unit.name
            and asked == {*unit.targets, *unit.refused}
            and each.reference == reference
        ):
            return each
    return None


def beside(earlier: Results | None, units: Collection[Unit]) -> Sequence[Comparison]:
    """Return the comparisons of cells that are not among ``units``."""
    planned = {unit.name for unit in units}
    known = earlier.comparisons if earlier else ()
    return [each for each in known if each.name not in planned]
