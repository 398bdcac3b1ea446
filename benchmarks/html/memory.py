"""What the servers of targets hold in memory, cell by cell."""

from __future__ import annotations

from snapfs.benchmarks.html.collection import Collection, Entry
from snapfs.markup import element, table, text

_MIB = 2**20


def memory_table(collection: Collection) -> str:
    """Return each target's least and most memory, and after what; "" if none has any.

    PSS, the sum over its processes after the counted runs of a cell: pages that several
    processes share are divided among them.
    """
    found: dict[str, list[tuple[int, Entry]]] = {}
    for entry in collection.entries:
        for name, counted in entry.comparison.counted.items():
            pss = sum(process.pss_bytes for process in counted.memory)
            if pss:
                found.setdefault(name, []).append((pss, entry))
    if not found:
        return ""
    rows = []
    for name in sorted(found):
        ordered = sorted(found[name], key=lambda pair: pair[0])
        (least, first), (most, last) = ordered[0], ordered[-1]
        rows.append(
            (text(name), _mib(least), _link(first), _mib(most), _link(last)),
        )
    words = "PSS of a target's processes after the counted runs of a cell."
    columns = ("target", ">least", "after", ">most", "after")
    return element("p", words, class_="small") + table(
        columns, rows, "wordy", sorted(found)
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"


def _link(entry: Entry) -> str:
    comparison = entry.comparison
    words = f"{comparison.scenario} {comparison.label}"
    return element("a", text(words), href=f"#{entry.anchor}")
