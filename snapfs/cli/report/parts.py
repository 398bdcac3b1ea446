"""The report's sections: numbers to markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from snapfs.cli.report.facts import Facts
from snapfs.cli.report.shown import shown
from snapfs.cli.wording import counted, human_bytes, printable
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.findings import Severity
from snapfs.inspect.lint import is_secret
from snapfs.inspect.overview import LayerChanges
from snapfs.inspect.waste import Cause
from snapfs.markup import element, table, text

COLOURS: Final = 12
"""Of layers, in the style sheet; layers beyond share them."""

_ROWS: Final = 30

_KINDS: Final = (
    (ChangeKind.ADDED, "added"),
    (ChangeKind.CHANGED, "changed"),
    (ChangeKind.REMOVED, "removed"),
)


def tiles(facts: Facts) -> str:
    """Return the totals."""
    # What is there twice is seen twice: no part of what is hidden.
    hidden = sum(w.size_bytes for w in facts.waste if w.cause is not Cause.DUPLICATE)
    part = f"{hidden / facts.plain_bytes:.1%} of all files" if facts.plain_bytes else ""
    severities = Counter(f.rule.severity for f in facts.checked.findings)
    told = ", ".join(counted(severities[s], s.value) for s in Severity if severities[s])
    shown_values = (
        ("Layers", str(len(facts.changes)), ""),
        ("Stored", human_bytes(facts.stored_bytes), "compressed, as it is pulled"),
        ("Seen", human_bytes(facts.seen_bytes), counted(len(facts.files), "file")),
        ("Hidden", human_bytes(hidden), part),
        ("Findings", str(len(facts.checked.findings)), told or "none"),
    )
    return element(
        "dl",
        "".join(
            element(
                "div",
                element("dt", text(name))
                + element("dd", text(value))
                + element("dd", text(more), class_="small"),
            )
            for name, value, more in shown_values
        ),
        class_="tiles",
    )


def swatch(layer: int) -> str:
    """Return a layer's colour and number."""
    dot = element("span", "", class_=f"dot l{layer_colour(layer)}")
    return f"{dot}{layer}"


def layer_colour(layer: int) -> int:
    """Return the number of a layer's colour."""
    return (layer - 1) % COLOURS


def treemap() -> str:
    """Return the place where the script draws, and what is there without it."""
    return (
        element(
            "p",
            "Each area is a directory or a file, as large as its bytes; its colour is"
            " that of the layer that supplies most of it. Choose one to look into it.",
            class_="small",
        )
        + element("nav", "", id="trail", aria_label="Directory")
        + element("div", "", id="map", role="group", aria_label="Treemap")
        + element("noscript", element("p", "The treemap needs JavaScript."))
    )


def layers(facts: Facts) -> str:
    """Return one row for each layer."""
    wasted: Counter[int] = Counter()
    for one in facts.waste:
        if one.cause is not Cause.DUPLICATE:
            wasted[one.layer + 1] += one.size_bytes
    rows = [
        (
            swatch(one.layer.number),
            text(human_bytes(one.layer.size_bytes)) if one.layer.digest else "",
            text(human_bytes(one.layer.index.stats().size_bytes)),
            text(human_bytes(wasted[one.layer.number])),
            *(text(one.paths[kind]) for kind, _ in _KINDS),
            element("code", text(printable(one.layer.command)), class_="command"),
            element("code", text(one.layer.diff_id[7:19])),
        )
        for one in facts.changes
    ]
    columns = (
        *(">Layer", ">Stored", ">Files", ">Hidden", ">Added", ">Changed", ">Removed"),
        *("Command", "Diff ID"),
    )
    return table(columns, rows, "layers")


def timeline(facts: Facts) -> str:
    """Return bars of the bytes that each layer adds, changes and removes."""
    widest = max((sum(one.size_bytes.values()) for one in facts.changes), default=0)
    legend = element(
        "p",
        " ".join(
            element("span", "", class_=f"dot c-{name}") + name for _, name in _KINDS
        ),
        class_="small",
    )
    times = facts.step_times or ("",) * len(facts.changes)
    items = "".join(
        _bar(one, widest, created)
        for one, created in zip(facts.changes, times, strict=True)
    )
    return legend + element("ol", items, class_="bars")


def _bar(one: LayerChanges, widest: int, created: str) -> str:
    at = 0.0
    parts = []
    for kind, name in _KINDS:
        width = 100 * one.size_bytes[kind] / widest if widest else 0.0
        if width:
            parts.append(
                f'<rect class="c-{name}" x="{at:.3f}" y="0" width="{width:.3f}"'
                ' height="10"/>'
            )
        at += width
    words = ", ".join(
        f"{name} {human_bytes(one.size_bytes[kind])} in"
        f" {counted(one.paths[kind], 'path')}"
        for kind, name in _KINDS
        if one.paths[kind]
    )
    label = f"Layer {one.layer.number}: {words or 'nothing'}"
    svg = (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img"'
        f' aria-label="{text(label)}">{"".join(parts)}</svg>'
    )
    command = element("code", text(printable(one.layer.command)), class_="one-line")
    when = element("span", text(printable(created)), class_="when")
    head = f"{swatch(one.layer.number)} {when if created else ''} {command}"
    return element(
        "li",
        element("div", head, class_="row")
        + svg
        + element("div", text(words or "nothing"), class_="small"),
    )


def largest_files(facts: Facts) -> str:
    """Return the largest files that containers see."""
    total = facts.seen_bytes
    rows = [
        (
            text(human_bytes(file.size_bytes)),
            text(f"{file.size_bytes / total:.1%}" if total else ""),
            swatch(file.layer),
            element("span", text(shown(file.path)), class_="path"),
        )
        for file in facts.largest
    ]
    return table((">Size", ">Part", ">Layer", "Path"), rows)


def waste(facts: Facts) -> str:
    """Return what could be spared: by cause, and the largest."""
    if not facts.waste:
        return element("p", "Nothing: each byte is seen, and none is stored twice.")
    causes: Counter[Cause] = Counter()
    files: Counter[Cause] = Counter()
    for one in facts.waste:
        causes[one.cause] += one.size_bytes
        files[one.cause] += 1
    widest = max(causes.values())
    items = "".join(
        element(
            "li",
            element(
                "div",
                element("b", text(cause.value))
                + f" {human_bytes(size)}, {counted(files[cause], 'file')}: "
                + text(_CAUSES[cause]),
                class_="row",
            )
            + '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="c-waste" x="0" y="0" width="{100 * size / widest:.3f}"'
            ' height="10"/></svg>',
        )
        for cause, size in causes.most_common()
    )
    rows = [
        (
            text(human_bytes(one.size_bytes)),
            swatch(one.layer + 1),
            element("span", text(shown(one.path)), class_="path"),
            text(one.cause.value),
            text(printable(one.fix)),
        )
        for one in facts.waste[:_ROWS]
    ]
    more = len(facts.waste) - len(rows)
    rest = f"{more} more; <code>snapfs image waste</code> lists all." if more else ""
    return (
        element("ol", items, class_="bars")
        + table((">Size", ">Layer", "Path", "Cause", "How to spare it"), rows, "wordy")
        + (element("p", rest, class_="small") if rest else "")
    )


_CAUSES: Final = {
    Cause.OVERWRITTEN: "a higher layer stores another content",
    Cause.DELETED: "a higher layer deletes it",
    Cause.ATTRIBUTES: "a higher layer stores it again, with other attributes alone",
    Cause.DUPLICATE: "the same content is seen under another path",
}


def findings(facts: Facts) -> str:
    """Return what the linter found, rule by rule."""
    if not facts.checked.findings:
        return element("p", "None.")
    parts = []
    for rule in facts.checked.rules:
        found = [f for f in facts.checked.findings if f.rule == rule]
        if not found:
            continue
        badge = element(
            "span", text(rule.severity.value), class_=f"badge s-{rule.severity.value}"
        )
        lines = [
            element("li", _finding(f.path, f.layer, f.message)) for f in found[:_ROWS]
        ]
        if len(found) > _ROWS:
            lines.append(element("li", f"{len(found) - _ROWS} more"))
        head = f"{badge} {text(rule.summary)} ({len(found)})"
        parts.append(
            element(
                "details",
                element("summary", head)
                + element("p", f"Fix: {text(rule.fix)}. Rule <code>{rule.id}</code>.")
                + element("ul", "".join(lines)),
                open=None if rule.severity is Severity.NOTE else "",
            )
        )
    return "".join(parts)


def _finding(path: bytes | None, layer: int | None, message: str) -> str:
    where = "" if path is None else element("span", text(shown(path)), class_="path")
    number = f" (layer {layer})" if layer is not None and path is not None else ""
    return f"{where}{number}{': ' if where else ''}{text(printable(message))}"


def config(facts: Facts) -> str:
    """Return how containers are set up; what looks like a secret is not repeated."""
    rows: Sequence[tuple[str, str]] = [
        (text(printable(name)), element("code", _setting(name, value), class_="path"))
        for name, value in facts.settings.items()
    ]
    return table(("Name", "Value"), rows, "wordy") if rows else ""


def _setting(name: str, value: str) -> str:
    if is_secret(name.rpartition(" ")[2], value):
        return "(it looks like a secret: not shown)"
    return text(printable(value))
