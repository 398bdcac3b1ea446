"""Percentile curves: how long the slow operations take, a line a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from snapfs.benchmarks.estimates import has_quantile, quantile
from snapfs.benchmarks.html.collection import Entry
from snapfs.benchmarks.html.curves import WIDTH, marker
from snapfs.benchmarks.html.scales import LogScale, decade_bounds, decade_ticks
from snapfs.benchmarks.summary import kept_blocks
from snapfs.benchmarks.wording import short_time
from snapfs.markup import element, number, text

# What is shown if there are values enough, as shares that are slower.
_BEYOND: Final = (0.5, 0.25, 0.1, 0.05, 0.01, 0.001)
_HEIGHT: Final = 200
_LEFT: Final = 58
_TOP: Final = 8
_BOTTOM: Final = 26


def latencies(entry: Entry, name: str) -> Sequence[float]:
    """Return the seconds of all single operations, or samples, sorted."""
    return sorted(
        latency
        for block in kept_blocks(entry.comparison.blocks)
        for sample in block.samples[name]
        for latency in sample.latencies
    )


def percentile(ordered: Sequence[float], fraction: float) -> str:
    """Return a quantile in words; "-" where there are too few values for it."""
    if not has_quantile(len(ordered), fraction):
        return "-"
    return short_time(quantile(ordered, fraction))


def draw_percentiles(entry: Entry, colours: Mapping[str, int]) -> str:
    """Return the chart as SVG; "" where no target has a p99."""
    comparison = entry.comparison
    if not any(each.p99 for each in comparison.estimates.values()):
        return ""
    lines = {}
    for name in comparison.instances:
        if name != comparison.control:
            ordered = latencies(entry, name)
            lines[name] = [
                (beyond, quantile(ordered, 1 - beyond))
                for beyond in _BEYOND
                if has_quantile(len(ordered), 1 - beyond)
            ]
    times = [time for line in lines.values() for _, time in line]
    least = min(beyond for line in lines.values() for beyond, _ in line)
    # From the left: the median, then what is slower, each decade as wide.
    across = LogScale(1 / _BEYOND[0], 1 / least, _LEFT + 8, WIDTH - 16)
    up = LogScale(*decade_bounds(times), _HEIGHT - _BOTTOM, _TOP)
    shown = [_axes(across, up, least)]
    for name, line in lines.items():
        places = [(across(1 / beyond), up(time)) for beyond, time in line]
        path = " ".join(f"{number(x)},{number(y)}" for x, y in places)
        content = element("polyline", points=path)
        for (x, y), (beyond, time) in zip(places, line, strict=True):
            words = f"{name}, p{100 * (1 - beyond):g}: {short_time(time)}"
            content += marker(colours[name], x, y, element("title", text(words)))
        group = f"t t{colours[name]}"
        shown.append(element("g", content, class_=group, data_target=name))
    return element(
        "svg",
        "".join(shown),
        viewBox=f"0 0 {WIDTH} {_HEIGHT}",
        width=WIDTH,
        height=_HEIGHT,
        class_="curve",
        role="img",
        aria_label="percentiles of single operations",
    )


def _axes(across: LogScale, up: LogScale, least: float) -> str:
    parts = []
    for tick in decade_ticks(up.low, up.high):
        y = up(tick)
        ends = {"x1": float(_LEFT), "x2": float(WIDTH - 12)}
        parts.append(element("line", **ends, y1=y, y2=y, class_="grid"))
        value, unit = short_time(tick).split(" ")
        label = f"{float(value):g} {unit}"
        parts.append(
            element("text", label, x=float(_LEFT - 5), y=y + 4, class_="tick end")
        )
    for beyond in _BEYOND:
        if beyond >= least:
            label = f"p{100 * (1 - beyond):g}"
            x, y = across(1 / beyond), float(_HEIGHT - _BOTTOM + 16)
            parts.append(element("text", label, x=x, y=y, class_="tick mid"))
    return "".join(parts)
