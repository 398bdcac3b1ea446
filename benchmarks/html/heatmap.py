"""The heat map: scenarios down, targets across, a geometric mean in each field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from snapfs.benchmarks.html.collection import Collection, Entry, anchor_of
from snapfs.benchmarks.html.families import Standing, in_words, shade
from snapfs.benchmarks.verdicts import Verdict
from snapfs.benchmarks.wording import factor
from snapfs.markup import element, text

_OTHER: Final = "not asked here: the question is for other targets, or the run was"


def heat_map(
    collection: Collection, standings: Mapping[str, Sequence[Standing]]
) -> str:
    """Return the map as a table; every field has a number or "n/a" and a reason."""
    targets = _columns(collection)
    head = element("th", "scenario", scope="col") + "".join(
        element("th", element("span", text(name)), scope="col", class_="up")
        for name in targets
    )
    rows = []
    for scenario, entries in collection.scenarios.items():
        link = element("a", text(scenario), href=f"#{anchor_of(scenario)}")
        cells = element("th", link, scope="row")
        found = {each.target: each for each in standings[scenario]}
        for name in targets:
            cells += _field(name, found.get(name), list(entries))
        rows.append(element("tr", cells))
    inner = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return element(
        "div", element("table", inner, class_="heat"), class_="scroll", tabindex="0"
    )


def _columns(collection: Collection) -> list[str]:
    """Return all targets, those of a family side by side."""
    family: dict[str, int] = {}
    for entry in collection.entries:
        comparison = entry.comparison
        for name in (*comparison.instances, *comparison.rejected, *comparison.refused):
            if name != comparison.control:
                family.setdefault(name, len(family))
    return list(family)


def _field(name: str, standing: Standing | None, entries: list[Entry]) -> str:
    if standing is not None:
        sign = {Verdict.FASTER: "▲", Verdict.SLOWER: "▼"}.get(standing.verdict, "≈")
        kind = f"h {standing.verdict} s{shade(standing)}"
        shown = f"{sign} {factor(standing.ratio)}"
        return element("td", shown, class_=kind, title=in_words(standing))
    if any(name == entry.comparison.reference for entry in entries):
        return element("td", "1", class_="base", title="the baseline")
    reason = why_not(name, entries)
    return element("td", "n/a" if reason else "-", class_="na", title=reason or _OTHER)


def why_not(name: str, entries: list[Entry]) -> str:
    """Return why a target has no number in a scenario; "" if it was not to have one."""
    for entry in entries:
        comparison = entry.comparison
        reason = comparison.rejected.get(name) or comparison.refused.get(name)
        if reason:
            return reason
    return ""
