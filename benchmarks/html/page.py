"""The page: everything on it, its style, its script and its data, in one file."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Final

import msgspec

from snapfs.benchmarks.html.cells import all_cells
from snapfs.benchmarks.html.collection import (
    Collection,
    Entry,
    anchor_of,
    collect,
    reasons,
)
from snapfs.benchmarks.html.curves import curves, draw, legend
from snapfs.benchmarks.html.families import Standing, all_standings, in_words
from snapfs.benchmarks.html.forest import forest
from snapfs.benchmarks.html.heatmap import heat_map
from snapfs.benchmarks.html.memory import memory_table
from snapfs.benchmarks.html.targets import fairness_table, machine, runs, semantics
from snapfs.benchmarks.results import Results
from snapfs.benchmarks.verdicts import Verdict
from snapfs.markup import element, text

# Colours that the style sheet has; targets beyond share them.
COLOURS: Final = 12

Standings = Mapping[str, Sequence[Standing]]

_READING: Final = (
    "A ratio is a target's time over the baseline's, in the same block: below 1 is "
    "faster. Whiskers and brackets are 95 % intervals. The baseline runs twice under "
    "two names; what separates the two, or 3 %, is the noise floor. A target is "
    "faster (▲, blue) or slower (▼, orange) only if its interval excludes 1 and its "
    "ratio is beyond the floor; else nothing is claimed (≈). Fields with several "
    "cells show the geometric mean of their ratios. n/a has a reason: point at it, "
    "or see the lists below."
)


def make_page(results: Sequence[Results]) -> str:
    """Return results of one machine as one HTML document; nothing in it is loaded.

    Raises:
        InvalidArgumentError: They are of different machines.
    """
    collection = collect(results)
    colours = {name: n % COLOURS for n, name in enumerate(collection.timed)}
    standings = all_standings(collection)
    sections = (
        ("summary", "Summary", _summary(collection, standings)),
        ("ratios", "Ratios", _forests(collection, standings)),
        ("heat", "Heat map", heat_map(collection, standings) + _missing(collection)),
        ("curves", "Curves", _curves(collection, colours)),
        ("cells", "Cells", all_cells(collection, colours)),
        ("fairness", "Fairness", fairness_table(collection)),
        ("memory", "Memory", memory_table(collection)),
        ("semantics", "Semantics", semantics(collection)),
        ("machine", "Machine", machine(collection) + runs(collection)),
    )
    links = "".join(
        element("a", text(title), href=f"#{name}")
        for name, title, content in sections
        if content
    )
    body = "".join(
        element("section", element("h2", text(title)) + content, id=name)
        for name, title, content in sections
        if content
    )
    header = element(
        "header",
        element("h1", "Copy-on-write benchmark")
        + element("p", text(_subtitle(collection)), class_="small")
        + element("nav", links),
    )
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Copy-on-write benchmark</title><style>{_asset('page.css')}</style>"
        f"</head><body>{header}<main>{body}</main>{_data(collection)}"
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _subtitle(collection: Collection) -> str:
    run = collection.runs[-1]
    host = run.machine
    cells = len(collection.entries)
    return (
        f"{len(collection.timed)} targets, {len(collection.scenarios)} scenarios, "
        f"{cells} cells; {host.cpu}, {host.usable_cpus} CPUs, "
        f"{host.memory_bytes / 2**30:.0f} GiB, Linux {host.kernel}; "
        f"{run.finished.partition('T')[0]}, profile {run.profile}"
    )


def _summary(collection: Collection, standings: Standings) -> str:
    """Return, for each scenario, what may be said of each target, in words."""
    reading = element("p", text(_READING))
    items = []
    for scenario, entries in collection.scenarios.items():
        found = standings[scenario]
        clear = [each for each in found if each.verdict is not Verdict.SAME]
        rest = [each for each in found if each.verdict is Verdict.SAME]
        lines = "".join(
            element("li", text(f"{each.target}: {in_words(each)}"))
            for each in (*sorted(clear, key=lambda each: each.ratio), *rest)
        )
        question = element("b", text(scenario)) + " " + text(_question(entries))
        items.append(
            element("details", element("summary", question) + f"<ul>{lines}</ul>")
        )
    download = element("button", "save the raw results", type="button", id="save")
    return reading + download + "".join(items)


def _question(entries: Sequence[Entry]) -> str:
    return entries[0].comparison.question


def _forests(collection: Collection, standings: Standings) -> str:
    figures = []
    for scenario, entries in collection.scenarios.items():
        by_reference: dict[str, list[Standing]] = {}
        for standing in standings[scenario]:
            by_reference.setdefault(standing.reference, []).append(standing)
        for reference, group in by_reference.items():
            words = f"{_question(entries)} Ratio to {reference}."
            caption = element("b", text(scenario)) + "<br>" + text(words)
            figures.append(
                element(
                    "figure",
                    element("figcaption", caption) + forest(group),
                    id=anchor_of(scenario)
                    if reference == next(iter(by_reference))
                    else None,
                )
            )
    return element("div", "".join(figures), class_="grid")


def _missing(collection: Collection) -> str:
    """List what has no number, and why: scenarios, then targets."""
    items = [
        element("li", text(f"{name}: n/a ({reason})"))
        for name, reason in collection.left_out.items()
    ]
    items += [
        element("li", text(f"{scenario}, {name}: n/a ({reason})"))
        for scenario, entries in collection.scenarios.items()
        for name, reason in reasons(entries)
    ]
    if not items:
        return ""
    summary = element("summary", f"What has no number, and why ({len(items)})")
    return element("details", summary + f"<ul class='small'>{''.join(items)}</ul>")


def _curves(collection: Collection, colours: Mapping[str, int]) -> str:
    figures = []
    names: set[str] = set()
    for entries in collection.scenarios.values():
        for curve in curves(entries):
            names.update(curve.lines)
            caption = element("b", text(curve.scenario)) + " " + text(curve.rest)
            figures.append(
                element(
                    "figure",
                    element("figcaption", caption) + draw(curve, colours),
                )
            )
    if not figures:
        return ""
    words = "Time of one operation; both axes are logarithmic, points are measured."
    return (
        element("p", words, class_="small")
        + legend(sorted(names), colours)
        + element("div", "".join(figures), class_="grid")
    )


def _data(collection: Collection) -> str:
    """Return the results, whole, compressed: for the script and whoever saves them."""
    parts = []
    for index, run in enumerate(collection.runs):
        packed = gzip.compress(msgspec.json.encode(run), mtime=0)
        parts.append(
            element(
                "script",
                base64.b64encode(packed).decode(),
                type="application/gzip",
                class_="results",
                data_run=index,
            )
        )
    return "".join(parts)
