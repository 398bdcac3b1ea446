"""Forest plots: a target a line, its ratio as a mark, its interval as a whisker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.html.families import Standing, in_words
from snapfs.benchmarks.html.scales import (
    LogScale,
    ratio_bounds,
    ratio_ticks,
    ratio_words,
)
from snapfs.benchmarks.verdicts import Verdict
from snapfs.benchmarks.wording import factor
from snapfs.markup import element, number, text

# As wide as the content of a phone's screen: nothing is shrunk there.
WIDTH: Final = 358
ROW: Final = 19
_NAMES: Final = 154
_PLOT_END: Final = 256
_TOP: Final = 6
_AXIS: Final = 22
_MARK: Final = 4.0


def forest(standings: Sequence[Standing]) -> str:
    """Return the plot as SVG; the standings share one baseline.

    The axis is one of powers of 2, and neither cut nor shifted: equal factors up and
    down are equally long.
    """
    ends = [value for each in standings for value in (each.low, each.high)]
    low, high = ratio_bounds(ends)
    scale = LogScale(low, high, _NAMES + 8, _PLOT_END)
    height = _TOP + ROW * len(standings) + _AXIS
    parts = [_axis(scale, height - _AXIS)]
    for index, standing in enumerate(standings):
        parts.append(_row(standing, scale, _TOP + ROW * index + ROW / 2))
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        class_="forest",
        role="img",
        aria_label=f"ratios to {standings[0].reference}",
    )


def _axis(scale: LogScale, bottom: float) -> str:
    parts = []
    for tick in ratio_ticks(scale.low, scale.high):
        x = scale(tick)
        kind = "one" if tick == 1 else "grid"
        parts.append(
            element("line", x1=x, x2=x, y1=float(_TOP), y2=bottom, class_=kind)
        )
        parts.append(
            element("text", ratio_words(tick), x=x, y=bottom + 14, class_="tick mid")
        )
    return "".join(parts)


def _row(standing: Standing, scale: LogScale, y: float) -> str:
    x = scale(standing.ratio)
    whisker = element(
        *("line",),
        x1=scale(standing.low),
        x2=scale(standing.high),
        y1=y,
        y2=y,
        class_="whisker",
    )
    name = element(
        "text", text(standing.target), x=float(_NAMES), y=y + 4, class_="end"
    )
    ends = f"({factor(standing.low)}-{factor(standing.high)})"
    words = f"{factor(standing.ratio)} {ends}"
    values = element("text", words, x=float(_PLOT_END + 8), y=y + 4, class_="value")
    title = element("title", text(f"{standing.target}: {in_words(standing)}"))
    content = title + name + whisker + _mark(standing.verdict, x, y) + values
    return element("g", content, class_=f"v-{standing.verdict}")


def _mark(verdict: Verdict, x: float, y: float) -> str:
    """Return a mark that colour alone does not tell apart."""
    if verdict is Verdict.SAME:
        return element("circle", cx=x, cy=y, r=_MARK - 0.5, class_="mark")
    tip = -_MARK if verdict is Verdict.FASTER else _MARK
    points = [(x + tip * 1.2, y), (x - tip, y - _MARK), (x - tip, y + _MARK)]
    shown = " ".join(f"{number(px)},{number(py)}" for px, py in points)
    return element("polygon", points=shown, class_="mark")
