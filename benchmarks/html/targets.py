"""Who was measured: what makes the comparison lopsided, and what the gate found."""

from __future__ import annotations

from snapfs.benchmarks.html.collection import Collection
from snapfs.markup import element, table, text


def fairness_table(collection: Collection) -> str:
    """Return what a reader must know of each target before comparing."""
    rows = []
    for name, record in collection.targets.items():
        fairness = record.fairness
        state = f"n/a ({record.unavailable})" if record.unavailable else record.summary
        rows.append(
            [
                text(cell or "-")
                for cell in (
                    name,
                    state,
                    fairness.version,
                    fairness.durability,
                    fairness.cache,
                    fairness.threads,
                    fairness.privileges,
                    fairness.notes,
                )
            ]
        )
    columns = ("target", "what it is", "version", "durability", "caches", "threads")
    return table((*columns, "needs", "notes"), rows, "wordy", tuple(collection.targets))


def semantics(collection: Collection) -> str:
    """Return what the semantics gate found: claims that were broken or not tried."""
    rows, names = [], []
    for name, record in collection.targets.items():
        if not record.semantics:
            continue
        broken = [claim for claim in record.semantics if claim.problem]
        untested = [claim for claim in record.semantics if claim.untested]
        held = len(record.semantics) - len(broken) - len(untested)
        essential = any(claim.is_essential for claim in broken)
        words = [
            f"{claim.claim}: {claim.problem}"
            + (" (rejected for it)" if claim.is_essential else "")
            for claim in broken
        ]
        words += [f"{claim.claim}: not tried ({claim.untested})" for claim in untested]
        mark = "✗ rejected" if essential else "✓"
        rows.append(
            (
                text(name),
                text(mark),
                text(f"{held} of {len(record.semantics)}"),
                "<br>".join(text(line) for line in words) or "-",
            )
        )
        names.append(name)
    return table(("target", "gate", ">claims that hold", "else"), rows, "wordy", names)


def machine(collection: Collection) -> str:
    """Return the machine that all numbers belong to."""
    found = collection.runs[0].machine
    rows = [
        ("processor", f"{found.cpu}, {found.usable_cpus} of {found.cpus} CPUs"),
        ("memory", f"{found.memory_bytes / 2**30:.1f} GiB"),
        ("kernel", f"Linux {found.kernel}"),
        ("system", f"{found.distribution}, {found.python}"),
        ("virtualisation", found.virtualisation),
        *found.settings.items(),
    ]
    return table(("", ""), [[text(cell) for cell in row] for row in rows], "wordy")


def runs(collection: Collection) -> str:
    """Return the commands that gave the numbers, and the rules they followed."""
    items = []
    for run in collection.runs:
        rules = run.rules
        words = (
            f"{run.started} to {run.finished}, profile {run.profile}, seed {run.seed}, "
            f"snapfs {run.suite_version} {run.revision}; looks after "
            f"{', '.join(map(str, rules.looks))} blocks; a block is redone above "
            f"{rules.redo.steal:.0%} steal or {rules.redo.foreign_cpu:.0%} of the CPUs "
            f"used by others, {rules.redo.redos} times in each comparison"
        )
        if run.resumed:
            words += f"; went on after a break at {', '.join(run.resumed)}"
        line = element("code", text(" ".join(run.command)))
        items.append(element("li", text(words) + "<br>" + line))
    return element("ul", "".join(items), class_="small")
