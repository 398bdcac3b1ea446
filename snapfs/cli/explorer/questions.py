"""What the user can ask of an image: searches, a path's history, waste, a diff."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from typing import Final

from rich.text import Text

from snapfs.cli.explorer.screens import Finding, Findings
from snapfs.cli.explorer.wordings import COLOURS, path_of, short_command
from snapfs.cli.image_shapes import mode_text
from snapfs.cli.wording import counted, human_bytes
from snapfs.inspect.changes import ChangeKind
from snapfs.inspect.comparison import compare
from snapfs.inspect.history import history
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree
from snapfs.inspect.waste import find_waste
from snapfs.layer.kinds import Kind

_MOST: Final = 10_000
"""Findings that are kept; nobody reads on, and the number is told."""


def search(tree: MergedTree, words: str) -> Findings:
    """Find names that hold ``words``, or match them if they have ``*``, ``?`` or ``[``.

    Lower case finds any case. With a slash the whole path is looked at.
    """
    flags = 0 if any(char.isupper() for char in words) else re.IGNORECASE
    is_pattern = any(char in words for char in "*?[")
    text = translate(words) if is_pattern else re.escape(words)
    pattern = re.compile(os.fsencode(text), flags)
    matches = pattern.match if is_pattern else pattern.search
    is_whole = "/" in words
    found: list[Finding] = []
    count = 0
    for place in tree.walk():
        subject = b"/" + place.path if is_whole else place.path.rpartition(b"/")[2]
        if matches(subject):
            count += 1
            if count <= _MOST:
                slash = "/" if place.is_directory else ""
                line = Text(path_of(place.path) + slash, no_wrap=True)
                found.append(Finding(line, place.path))
    return Findings(_counted(count, "name", "names"), found)


def tell_history(inspection: Inspection, path: bytes) -> Findings:
    """Tell what each layer did to ``path``."""
    lines = []
    for event in history(inspection.tree(), path):
        layer = inspection.layers[event.layer]
        line = Text(f"{layer.number:>3} ", no_wrap=True)
        line.append(f"{event.kind.name.lower():<8}", COLOURS[event.kind])
        entry = event.entry
        line.append(f" {mode_text(entry)} {entry.uid}:{entry.gid}")
        if entry.kind is Kind.FILE:
            line.append(f" {human_bytes(entry.size_bytes)}")
        if event.fields:
            line.append(f" ({', '.join(event.fields)})")
        if event.cause:
            line.append(f" by {event.cause}")
        line.append(f"  {short_command(layer.command)}", "dim")
        lines.append(Finding(line, path, layer.number))
    return Findings(_counted(len(lines), "layer", "layers"), lines)


def tell_waste(inspection: Inspection) -> Findings:
    """Tell which bytes the image could spare, the largest first."""
    found = find_waste(inspection)
    lines = []
    for waste in found[:_MOST]:
        line = Text(f"{human_bytes(waste.size_bytes):>10} ", no_wrap=True)
        line.append(f"layer {waste.layer + 1:>2} ")
        line.append(f"{waste.cause:<11} ", "yellow")
        line.append(path_of(waste.path))
        line.append(f"  by layer {waste.by_layer + 1}", "dim")
        lines.append(Finding(line, waste.path, waste.layer + 1))
    total = human_bytes(sum(waste.size_bytes for waste in found))
    return Findings(f"{total} in {_counted(len(found), 'file', 'files')}", lines)


def tell_diff(inspection: Inspection, first: int, second: int) -> Findings:
    """Tell what differs between the trees as of two layers."""
    layers = inspection.layers
    left = Inspection(inspection.name, layers[:first])
    right = Inspection(inspection.name, layers[:second])
    lines = []
    found = compare(left, right)
    for difference in found[:_MOST]:
        line = Text(no_wrap=True)
        style = COLOURS[difference.kind]
        line.append(f"{difference.kind} {path_of(difference.path)}", style)
        if difference.fields:
            line.append(f"  {', '.join(difference.fields)}", "dim")
        is_gone = difference.kind is ChangeKind.REMOVED
        shown = first if is_gone else second
        lines.append(Finding(line, difference.path, shown))
    return Findings(_counted(len(found), "path", "paths"), lines)


def _counted(number: int, noun: str, plural: str) -> str:
    text = counted(number, noun, plural)
    return f"{text}, the first {_MOST}" if number > _MOST else text
