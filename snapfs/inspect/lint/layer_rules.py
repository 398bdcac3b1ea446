"""Rules on layers: what they store in vain, and what they do to those below."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from snapfs.inspect.findings import Finding, Rule, Severity
from snapfs.inspect.lint.subject import Checker, Subject
from snapfs.inspect.resolution import resolve
from snapfs.inspect.waste import Cause
from snapfs.layer.kinds import Kind

DELETED: Final = Rule(
    "deleted-later",
    Severity.WARNING,
    "A layer stores files that a later layer deletes: all pull them, nobody sees them",
    "Delete them in the step that makes them, or make them in another build stage",
)
ATTRIBUTES: Final = Rule(
    "attributes-only",
    Severity.WARNING,
    "A layer stores files again only to change their owner, mode or times",
    "Set them where the files are made: COPY --chown --chmod, or in the same RUN",
)
OVERWRITTEN: Final = Rule(
    "overwritten-later",
    Severity.NOTE,
    "A layer stores files that a later layer replaces",
    "Make each file once: move the change into the step that brings the file",
)
LARGE: Final = Rule(
    "large-layer",
    Severity.NOTE,
    "A layer holds more than 1 GiB: it is pulled, unpacked and cached as one piece",
    "Split it by how often its parts change, or leave out what containers do not need",
)
MANY: Final = Rule(
    "many-layers",
    Severity.WARNING,
    "The image has more than 120 layers; Docker stops at 127",
    "Join steps, or build the last stage FROM a squashed base",
)
ESCAPING: Final = Rule(
    "escaping-path",
    Severity.ERROR,
    "A layer has paths with '..', which tools refuse, or follow out of the image",
    "Make the layer again with paths below its root; take such an image for hostile",
)
NOTHING: Final = Rule(
    "whiteout-of-nothing",
    Severity.NOTE,
    "A layer deletes what no layer below has",
    "It does no harm; a build on another base, or a rebased layer, leaves such marks",
)
SHADOWED: Final = Rule(
    "shadowed-symlink",
    Severity.WARNING,
    "A layer puts a directory where lower layers have a link to one: all that was"
    " reached through the link is gone",
    "Copy into the directory that the link names (usr/lib, not lib)",
)

_SIGNIFICANT_BYTES: Final = 100_000
"""Of one layer, hidden by one other: less is not worth a word."""
_LARGE_BYTES: Final = 1 << 30
_MANY_LAYERS: Final = 120


def _hidden(subject: Subject, rule: Rule, cause: Cause, done: str) -> Iterator[Finding]:
    """Yield a finding for each two layers: one stores, the other hides."""
    sums: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    largest: dict[tuple[int, int], bytes] = {}
    for one in subject.waste:  # the largest first
        if one.cause is cause:
            pair = one.layer, one.by_layer
            sums[pair].append(one.size_bytes)
            largest.setdefault(pair, one.path)
    for pair, sizes in sorted(sums.items()):
        if sum(sizes) >= _SIGNIFICANT_BYTES:
            count = f"{len(sizes)} file" + ("s" if len(sizes) > 1 else "")
            first = "" if len(sizes) == 1 else "; this one is the largest"
            message = f"{count}, {sum(sizes)} bytes, {done} layer {pair[1] + 1}{first}"
            yield Finding(rule, message, largest[pair], pair[0] + 1)


def deleted_later(subject: Subject) -> Iterator[Finding]:
    """Look for what a whiteout or an opaque directory hides."""
    yield from _hidden(subject, DELETED, Cause.DELETED, "deleted by")


def overwritten_later(subject: Subject) -> Iterator[Finding]:
    """Look for what has another content in a higher layer."""
    yield from _hidden(subject, OVERWRITTEN, Cause.OVERWRITTEN, "replaced by")


def attributes_only(subject: Subject) -> Iterator[Finding]:
    """Look for what has the same content in a higher layer."""
    yield from _hidden(subject, ATTRIBUTES, Cause.ATTRIBUTES, "stored again by")


def large_layers(subject: Subject) -> Iterator[Finding]:
    """Look at the plain bytes of each layer."""
    for layer in subject.inspection.layers:
        size = layer.index.stats().size_bytes
        if size > _LARGE_BYTES:
            message = f"layer {layer.number} holds {size} bytes of files"
            yield Finding(LARGE, message, None, layer.number)


def many_layers(subject: Subject) -> Iterator[Finding]:
    """Count the layers."""
    count = len(subject.inspection.layers)
    if count > _MANY_LAYERS:
        yield Finding(MANY, f"{count} layers")


def escaping_paths(subject: Subject) -> Iterator[Finding]:
    """Look for layers whose paths were read within the root."""
    for layer in subject.inspection.layers:
        if layer.index.is_clamped:
            message = f"layer {layer.number} has paths with '..'"
            yield Finding(ESCAPING, message, None, layer.number)


def whiteouts_of_nothing(subject: Subject) -> Iterator[Finding]:
    """Look for whiteouts that hide nothing."""
    for number, index in enumerate(subject.tree.indexes):
        if not index.kinds.tobytes().count(Kind.WHITEOUT):
            continue
        below = subject.tree.below(number)
        for path, node in index.walk():
            is_whiteout = index.kinds[node] == Kind.WHITEOUT
            if is_whiteout and (not number or below.lookup(path) is None):
                yield Finding(NOTHING, "nothing is below it", path, number + 1)


def shadowed_symlinks(subject: Subject) -> Iterator[Finding]:
    """Look for directories on top of links to directories."""
    for number, index in enumerate(subject.tree.indexes):
        below = subject.tree.below(number)
        for path, node in index.walk() if number else ():
            if index.kinds[node] != Kind.DIRECTORY:
                continue
            old = below.lookup(path)
            if old is None or below.indexes[old.layer].kinds[old.node] != Kind.SYMLINK:
                continue
            end = resolve(below, path).place
            if end is not None and end.is_directory:
                target = below.indexes[old.layer].link_target(old.node)
                yield Finding(
                    SHADOWED,
                    f"hides the link of layer {old.layer + 1} to"
                    f" {os.fsdecode(target)!r}",
                    path,
                    number + 1,
                )


CHECKERS: Final = (
    Checker(DELETED, deleted_later),
    Checker(ATTRIBUTES, attributes_only),
    Checker(OVERWRITTEN, overwritten_later),
    Checker(LARGE, large_layers),
    Checker(MANY, many_layers),
    Checker(ESCAPING, escaping_paths),
    Checker(NOTHING, whiteouts_of_nothing),
    Checker(SHADOWED, shadowed_symlinks),
)
