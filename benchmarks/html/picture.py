"""One picture of a result, for a page that is no report: the forest plots as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from snapfs.benchmarks.html.collection import collect
from snapfs.benchmarks.html.families import Standing, standings
from snapfs.benchmarks.html.forest import ROW, WIDTH, forest
from snapfs.benchmarks.results import Results
from snapfs.errors import InvalidArgumentError
from snapfs.markup import element, text

_COLUMNS: Final = 2
_GAP: Final = 26
_TITLE: Final = 34

_STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#1b1f24}"
    ".tick,.of{font-size:10px;fill:#59636e}.value{font-size:10px}"
    ".name{font-weight:600;font-size:12px}"
    ".end{text-anchor:end}.mid{text-anchor:middle}"
    ".grid{stroke:#d5dae0}.one{stroke:#59636e;stroke-width:1.5}"
    ".whisker{stroke:currentColor;stroke-width:1.6}.mark{fill:currentColor}"
    ".v-faster{color:#0b5cad}.v-slower{color:#a34700}"
    ".v-same,.v-unknown{color:#59636e}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){.paper{fill:#0f1318}text{fill:#e4e9ee}"
    ".tick,.of{fill:#9aa5b1}.grid{stroke:#333c46}.one{stroke:#9aa5b1}"
    ".v-faster{color:#6db3f5}.v-slower{color:#f59b56}"
    ".v-same,.v-unknown{color:#9aa5b1}}"
)


def make_picture(results: Sequence[Results], scenarios: Sequence[str] = ()) -> str:
    """Return the forest plots of ``scenarios`` (all for none) as one SVG document.

    Raises:
        InvalidArgumentError: The results are of different machines, or have none
            of the scenarios.
    """
    groups = _groups(results, scenarios)
    if not groups:
        raise InvalidArgumentError("there is nothing to draw: no such scenario")
    columns: list[list[str]] = [[] for _ in range(_COLUMNS)]
    heights = [float(_GAP)] * _COLUMNS
    for group in groups:
        column = heights.index(min(heights))
        x = _GAP + column * (WIDTH + _GAP)
        columns[column].append(_panel(group, x, heights[column]))
        heights[column] += _TITLE + ROW * len(group) + 28 + _GAP
    width, height = _GAP + _COLUMNS * (WIDTH + _GAP), max(heights)
    content = element("style", _STYLE)
    content += element("rect", class_="paper", width=width, height=height)
    content += "".join(panel for column in columns for panel in column)
    return (
        element(
            "svg",
            content,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width} {height:.0f}",
            width=width,
            height=height,
            role="img",
        )
        + "\n"
    )


def _groups(
    results: Sequence[Results], scenarios: Sequence[str]
) -> list[list[Standing]]:
    """Return the standings to draw: one group for each scenario and baseline."""
    groups: dict[tuple[str, str], list[Standing]] = {}
    for name, entries in collect(results).scenarios.items():
        if not scenarios or name in scenarios:
            for each in standings(entries):
                groups.setdefault((name, each.reference), []).append(each)
    return list(groups.values())


def _panel(group: list[Standing], x: float, y: float) -> str:
    name = element("text", text(group[0].scenario), y=10, class_="name")
    words = f"time over that of {group[0].reference}; left is faster"
    name += element("text", text(words), y=25, class_="of")
    plot = element("g", forest(group), transform=f"translate(0 {_TITLE})")
    return element("g", name + plot, transform=f"translate({x:.0f} {y:.0f})")
