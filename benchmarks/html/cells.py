"""Every cell on its own: its numbers, counts, gaps, samples and command."""

from __future__ import annotations

from collections.abc import Mapping

from snapfs.benchmarks.html.collection import Collection, Entry
from snapfs.benchmarks.html.commands import repeat_command
from snapfs.benchmarks.html.percentiles import (
    draw_percentiles,
    latencies,
    percentile,
)
from snapfs.benchmarks.report import counter_table, verdict_words
from snapfs.benchmarks.results import Comparison
from snapfs.benchmarks.verdicts import Verdict
from snapfs.benchmarks.wording import percent, rate, short_time
from snapfs.markup import element, table, text


def all_cells(collection: Collection, colours: Mapping[str, int]) -> str:
    """Return every comparison, one after the other, folded."""
    return "".join(_cell(entry, colours) for entry in collection.entries)


def _cell(entry: Entry, colours: Mapping[str, int]) -> str:
    comparison = entry.comparison
    place = "/".join(map(str, entry.place))
    summary = element(
        "summary",
        element("b", text(comparison.scenario))
        + " "
        + text(f"{comparison.label} {comparison.filesystem}"),
    )
    content = (
        _circumstances(comparison)
        + _times(entry)
        + _noise(comparison)
        + _gaps(comparison)
        + _counters(comparison)
        + _percentiles(entry, colours)
        + element("div", "", class_="samples", data_place=place)
        + element("p", "To measure this cell again:", class_="small")
        + _command(repeat_command(entry))
    )
    return element(
        "details",
        summary + content,
        id=entry.anchor,
        class_="cell",
        data_scenario=comparison.scenario,
        data_label=comparison.label,
    )


def _circumstances(comparison: Comparison) -> str:
    kept = sum(not block.is_discarded for block in comparison.blocks)
    redone = len(comparison.blocks) - kept
    words = (
        f"{comparison.question} {kept} blocks of {comparison.runs} x "
        f"{comparison.operations or 'many'} {comparison.operation}, {redone} redone; "
        f"cache {comparison.cache}; {comparison.placement}; on {comparison.backing}"
    )
    return element("p", text(words), class_="small")


def _times(entry: Entry) -> str:
    comparison = entry.comparison
    rows = []
    for name in comparison.instances:
        estimate = comparison.estimates[name]
        ordered = latencies(entry, name)
        effect = estimate.effect
        shown = f"{effect.ratio:.2f}" if effect else "1"
        interval = f"{effect.low:.2f} … {effect.high:.2f}" if effect else ""
        verdict = verdict_words(effect) if effect else "the baseline"
        kind = effect.verdict if effect else Verdict.SAME
        median = estimate.median
        around = f"{short_time(median.low)} … {short_time(median.high)}"
        control = " (A/A control)" if name == comparison.control else ""
        rows.append(
            (
                text(name + control),
                text(short_time(median.value)),
                text(around),
                text(short_time(estimate.minimum)),
                text(percentile(ordered, 0.9)),
                text(percentile(ordered, 0.99)),
                text(short_time(ordered[-1])),
                text(rate(estimate.bytes_per_s) if estimate.bytes_per_s else "-"),
                text(shown),
                text(interval),
                element("span", text(verdict), class_=f"v-{kind}"),
            )
        )
    columns = ("target", ">median", ">95 %", ">min", ">p90", ">p99", ">max", ">rate")
    return table(
        (*columns, ">ratio", ">95 %", "verdict"), rows, "sort", comparison.instances
    )


def _noise(comparison: Comparison) -> str:
    effect = comparison.estimates[comparison.control].effect
    assert effect is not None
    words = f"Noise floor: {percent(effect.floor)}."
    if effect.verdict not in (Verdict.SAME, Verdict.UNKNOWN):
        words += " The two baselines differ: do not trust this comparison."
    return element("p", text(words), class_="small")


def _gaps(comparison: Comparison) -> str:
    gaps = {**comparison.rejected, **comparison.refused}
    items = "".join(
        element("li", text(f"{name}: n/a ({reason})"), data_target=name)
        for name, reason in gaps.items()
    )
    return element("ul", items, class_="gaps small") if items else ""


def _counters(comparison: Comparison) -> str:
    columns, rows = counter_table(comparison)
    if not rows:
        return ""
    return table(
        [title.lower() for title in columns],
        [[text(cell) for cell in row] for row in rows],
    )


def _percentiles(entry: Entry, colours: Mapping[str, int]) -> str:
    chart = draw_percentiles(entry, colours)
    return element("figure", chart) if chart else ""


def _command(line: str) -> str:
    copy = element("button", "copy", type="button", class_="copy")
    return element("div", element("code", text(line)) + copy, class_="command")
