"""The treemap's data: directories and files by size, small ones joined."""

from __future__ import annotations

import json
from typing import Final

from snapfs.cli.report.shown import shown_name
from snapfs.inspect.overview import Branch

_SMALLEST: Final = 1 / 2000
"""What is less of the whole cannot be seen, and is joined with its like."""

_DEPTH: Final = 24
"""Levels that are told apart; whoever nests deeper hides nothing."""


def treemap_data(root: Branch) -> str:
    """Return JSON for the script: names, bytes, files, main layer, what is below.

    Nothing in it ends a script element.
    """
    floor = max(1, int(root.size_bytes * _SMALLEST))
    text = json.dumps(_node(root, floor, 0), separators=(",", ":"))
    # HTML's parser looks for these alone (the "script data" states).
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _node(branch: Branch, floor: int, depth: int) -> dict[str, object]:
    layer = max(branch.by_layer, key=lambda n: (branch.by_layer[n], -n), default=0)
    node: dict[str, object] = {
        "n": shown_name(branch.name),
        "b": branch.size_bytes,
        "f": branch.files,
        "l": layer,
    }
    below = sorted(branch.branches.values(), key=lambda b: (-b.size_bytes, b.name))
    large = [b for b in below if b.size_bytes >= floor] if depth < _DEPTH else []
    if not large:
        if below:
            node["d"] = 1
        return node
    children = [_node(b, floor, depth + 1) for b in large]
    rest = below[len(large) :]
    if sum(b.size_bytes for b in rest):
        files = sum(b.files for b in rest)
        joined = {
            "n": f"{files} smaller",
            "b": sum(b.size_bytes for b in rest),
            "f": files,
            "l": 0,
        }
        children.append(joined)
    node["c"] = children
    return node
