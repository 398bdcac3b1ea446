"""Log-log curves: how a time grows with a size or a depth, a line a target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from snapfs.benchmarks.html.collection import Entry
from snapfs.benchmarks.html.scales import (
    LogScale,
    decade_bounds,
    decade_ticks,
    quantity,
)
from snapfs.benchmarks.results import Spread
from snapfs.benchmarks.wording import short_time
from snapfs.markup import element, number, text

WIDTH: Final = 358
_HEIGHT: Final = 236
_LEFT: Final = 58
_RIGHT: Final = 12
_TOP: Final = 8
_BOTTOM: Final = 38
_SHAPES: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """One chart: what varies, and a line of points for each target.

    Attributes:
        rest: The parameters that do not vary, in words.
        lines: By target, its medians by the value that varies, in ascending order.
    """

    scenario: str
    parameter: str
    rest: str
    operation: str
    lines: Mapping[str, Sequence[tuple[float, Spread]]]


def curves(entries: Sequence[Entry]) -> Iterator[Curve]:
    """Yield a chart wherever cells differ in one positive number alone."""
    groups: dict[tuple[str, str], list[tuple[float, Entry]]] = {}
    for entry in entries:
        comparison = entry.comparison
        for name, value in comparison.parameters.items():
            if isinstance(value, int) and value > 0:
                groups.setdefault((name, _rest(entry, name)), []).append((value, entry))
    for (name, rest), points in groups.items():
        if len({value for value, _ in points}) > 1:
            comparison = points[0][1].comparison
            lines = _lines(points)
            yield Curve(comparison.scenario, name, rest, comparison.operation, lines)


def _rest(entry: Entry, varying: str) -> str:
    comparison = entry.comparison
    words = [f"{k}={v}" for k, v in comparison.parameters.items() if k != varying]
    where = (str(comparison.cache), comparison.placement, comparison.filesystem)
    return " ".join([*words, *where])


def _lines(
    points: Sequence[tuple[float, Entry]],
) -> dict[str, list[tuple[float, Spread]]]:
    lines: dict[str, list[tuple[float, Spread]]] = {}
    for value, entry in sorted(points, key=lambda point: point[0]):
        comparison = entry.comparison
        for name, estimate in comparison.estimates.items():
            if name != comparison.control:
                lines.setdefault(name, []).append((value, estimate.median))
    return lines


def draw(curve: Curve, colours: Mapping[str, int]) -> str:
    """Return the chart as SVG: measured points, joined by straight lines.

    Whiskers are 95 % intervals. ``colours`` gives each target its number.
    """
    values = [value for line in curve.lines.values() for value, _ in line]
    times = [
        time
        for line in curve.lines.values()
        for _, spread in line
        for time in (spread.low, spread.value, spread.high)
    ]
    across = LogScale(min(values), max(values), _LEFT + 10, WIDTH - _RIGHT - 10)
    up = LogScale(*decade_bounds(times), _HEIGHT - _BOTTOM, _TOP)
    parts = [_axes(curve.parameter, sorted(set(values)), across, up)]
    parts += [
        _line(name, colours[name], line, curve, across, up)
        for name, line in curve.lines.items()
    ]
    return element(
        "svg",
        "".join(parts),
        viewBox=f"0 0 {WIDTH} {_HEIGHT}",
        width=WIDTH,
        height=_HEIGHT,
        class_="curve",
        role="img",
        aria_label=f"{curve.scenario}: time of one {curve.operation} by "
        f"{curve.parameter}, {curve.rest}",
    )


def _axes(
    parameter: str, values: Sequence[float], across: LogScale, up: LogScale
) -> str:
    parts = []
    for tick in decade_ticks(up.low, up.high):
        y = up(tick)
        parts.append(
            element(
                *("line",),
                x1=float(_LEFT),
                x2=float(WIDTH - _RIGHT),
                y1=y,
                y2=y,
                class_="grid",
            )
        )
        label = _round_time(tick)
        parts.append(
            element("text", label, x=float(_LEFT - 5), y=y + 4, class_="tick end")
        )
    bottom = float(_HEIGHT - _BOTTOM)
    for value in values:
        x = across(value)
        parts.append(
            element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="grid")
        )
        label = quantity(parameter, value)
        parts.append(element("text", label, x=x, y=bottom + 16, class_="tick mid"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        element("text", text(parameter), x=middle, y=bottom + 32, class_="tick mid")
    )
    return "".join(parts)


def _round_time(seconds: float) -> str:
    """Return a tick's time without the digits that say nothing."""
    value, unit = short_time(seconds).split(" ")
    return f"{float(value):g} {unit}"


def _line(
    name: str,
    colour: int,
    points: Sequence[tuple[float, Spread]],
    curve: Curve,
    across: LogScale,
    up: LogScale,
) -> str:
    places = [(across(value), up(spread.value)) for value, spread in points]
    path = " ".join(f"{number(x)},{number(y)}" for x, y in places)
    parts = [element("polyline", points=path)]
    for (value, spread), (x, y) in zip(points, places, strict=True):
        parts.append(
            element(
                "line", x1=x, x2=x, y1=up(spread.low), y2=up(spread.high), class_="w"
            )
        )
        words = (
            f"{name}, {curve.parameter} {quantity(curve.parameter, value)}: "
            f"{short_time(spread.value)} ({short_time(spread.low)} … "
            f"{short_time(spread.high)})"
        )
        title = element("title", text(words))
        parts.append(marker(colour, x, y, title))
    return element("g", "".join(parts), class_=f"t t{colour}", data_target=name)


def marker(colour: int, x: float, y: float, title: str = "") -> str:
    """Return the mark of a target: its shape tells what colours may not."""
    match colour % _SHAPES:
        case 0:
            return element("circle", title, cx=x, cy=y, r=3.5)
        case 1:
            return element("rect", title, x=x - 3, y=y - 3, width=6, height=6)
        case 2:
            points = f"{number(x)},{number(y - 4.5)} {number(x + 4)},{number(y + 3)} "
            points += f"{number(x - 4)},{number(y + 3)}"
            return element("polygon", title, points=points)
        case _:
            points = f"{number(x)},{number(y - 4.5)} {number(x + 4.5)},{number(y)} "
            points += f"{number(x)},{number(y + 4.5)} {number(x - 4.5)},{number(y)}"
            return element("polygon", title, points=points)


def legend(names: Sequence[str], colours: Mapping[str, int]) -> str:
    """Return the targets with their marks; a click on one shows it alone."""
    items = "".join(
        element(
            "button",
            element(
                "svg",
                element("g", marker(colours[name], 7, 7), class_=f"t t{colours[name]}"),
                width=14,
                height=14,
                aria_hidden="true",
            )
            + text(name),
            type="button",
            data_target=name,
            aria_pressed="false",
        )
        for name in names
    )
    return element("div", items, class_="legend")
