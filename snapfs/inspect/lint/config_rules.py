"""Rules on an image's documents: whether it starts, as whom, and how it was made."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import Final

from snapfs.image import media_types
from snapfs.image.resolve import Image
from snapfs.inspect.findings import Finding, Rule, Severity
from snapfs.inspect.interpreter import HEAD_BYTES, interpreter
from snapfs.inspect.lint.subject import Checker, Subject
from snapfs.inspect.merged import Place
from snapfs.inspect.resolution import Resolution, resolve
from snapfs.layer.kinds import Kind

NO_PROGRAM: Final = Rule(
    "missing-program",
    Severity.ERROR,
    "What the image starts is not in it: containers fail at once",
    "Correct ENTRYPOINT or CMD, install the program or its interpreter, or make it"
    " executable",
)
NO_USER: Final = Rule(
    "missing-user",
    Severity.ERROR,
    "The image's user or group is not in its /etc/passwd or /etc/group: containers"
    " fail at once",
    "Make it in a step before USER (useradd, adduser), or name it by its number",
)
ROOT: Final = Rule(
    "root-user",
    Severity.WARNING,
    "Containers run as root unless told otherwise",
    "Give the image a user of its own: USER, with a number above 0",
)
HISTORY: Final = Rule(
    "missing-history",
    Severity.NOTE,
    "The history does not tell which step made which layer",
    "Build with a tool that keeps it; squashed and imported images have none",
)
FOREIGN: Final = Rule(
    "nondistributable-layer",
    Severity.WARNING,
    "A layer has a deprecated type that registries need not store",
    "Push it as an ordinary layer (its publisher permitting)",
)
LATE: Final = Rule(
    "unpinned-times",
    Severity.NOTE,
    "A layer holds the build's own times: the next build of it has another digest",
    "Build with SOURCE_DATE_EPOCH set and 'rewrite-timestamp=true', or touch -d what"
    " a step makes",
)

_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INTERPRETERS: Final = 5  # of interpreters; the kernel gives up sooner (exec.c)
_ACCOUNTS_BYTES: Final = 1 << 20  # no image has as many users
_EXECUTE: Final = 0o111
_NUMBER: Final = re.compile(r"\d+")
_ZERO: Final = re.compile(r"0+")
_NS: Final = 1_000_000_000
_BUILD_S: Final = 6 * 3600
"""How long before its step's end a build may have written a file."""


def _image(subject: Subject) -> Image:
    image = subject.inspection.image
    assert image is not None  # the checkers below need it
    return image


def missing_program(subject: Subject) -> Iterator[Finding]:
    """Follow the first word that a container executes, and its interpreter."""
    process = _image(subject).config.process
    words = process.entrypoint or process.command
    if not words or not words[0]:
        return
    found = _program(subject, words[0])
    if found is None:
        yield Finding(NO_PROGRAM, f"there is no program {words[0]!r}")
        return
    place = found.place
    assert place is not None
    layer = place.layer + 1
    if subject.kind(place) is Kind.DIRECTORY:
        yield Finding(NO_PROGRAM, "is a directory", place.path, layer)
        return
    if not subject.tree.entry(place).mode & _EXECUTE:
        yield Finding(NO_PROGRAM, "is not executable", place.path, layer)
        return
    yield from _interpreters(subject, place)


def _interpreters(subject: Subject, place: Place) -> Iterator[Finding]:
    """Follow a script to its interpreter, and that to its dynamic linker."""
    for _ in range(_INTERPRETERS):
        body = subject.tree.body(place)
        if body is None or subject.tree.entry(place).kind is not Kind.FILE:
            return
        ((_, head),) = subject.inspection.heads([body], HEAD_BYTES)
        wanted = interpreter(head)
        if not wanted:
            return
        found = resolve(subject.tree, os.fsencode(wanted)).place
        if found is None:
            message = f"there is no interpreter {wanted!r}"
            yield Finding(NO_PROGRAM, message, place.path, place.layer + 1)
            return
        place = found


def _program(subject: Subject, word: str) -> Resolution | None:
    process = _image(subject).config.process
    directories = [process.working_directory or "/"]
    if "/" not in word:
        variables = dict(text.partition("=")[::2] for text in process.environment)
        directories = variables.get("PATH", _DEFAULT_PATH).split(":")
    for directory in directories:
        path = word if word.startswith("/") else f"{directory}/{word}"
        found = resolve(subject.tree, os.fsencode(path))
        if found.place is not None:
            return found
    return None


def missing_user(subject: Subject) -> Iterator[Finding]:
    """Look for the config's user and group, unless they are numbers."""
    user, _, group = _image(subject).config.process.user.partition(":")
    for name, file in ((user, "/etc/passwd"), (group, "/etc/group")):
        if not name or _NUMBER.fullmatch(name):
            continue
        if name not in _names(subject, file):
            yield Finding(NO_USER, f"{name!r} is not in {file}")


def _names(subject: Subject, file: str) -> set[str]:
    found = resolve(subject.tree, os.fsencode(file)).place
    if found is None or subject.tree.entry(found).kind is not Kind.FILE:
        return set()
    body = subject.tree.body(found)
    assert body is not None  # an entry of kind FILE
    ((_, text),) = subject.inspection.heads([body], _ACCOUNTS_BYTES)
    lines = text.decode(errors="replace").split("\n")
    return {line.partition(":")[0] for line in lines}


def root_user(subject: Subject) -> Iterator[Finding]:
    """Look at the config's user."""
    user = _image(subject).config.process.user.partition(":")[0]
    if user in ("", "root") or _ZERO.fullmatch(user):
        yield Finding(ROOT, f"the user is {user!r}" if user else "no user is set")


def missing_history(subject: Subject) -> Iterator[Finding]:
    """Look for steps that do not match the layers."""
    config = _image(subject).config
    steps = sum(not step.is_empty for step in config.history)
    layers = len(config.diff_ids)
    if steps != layers:
        yield Finding(HISTORY, f"{layers} layers, {steps} steps that made one")


def nondistributable(subject: Subject) -> Iterator[Finding]:
    """Look at the layers' media types."""
    for number, layer in enumerate(_image(subject).layers, 1):
        media_type = layer.descriptor.media_type
        if media_types.is_foreign(media_type):
            message = f"layer {number} has the type {media_type!r}"
            yield Finding(FOREIGN, message, None, number)


def unpinned_times(subject: Subject) -> Iterator[Finding]:
    """Look for files of several times shortly before their step's end, or after it.

    One time for all is a pinned one.
    """
    for number, step in enumerate(_image(subject).config.layer_steps()):
        made_ns = _nanoseconds(step.created)
        if made_ns is None:
            continue
        index = subject.tree.indexes[number]
        fresh: dict[int, int] = {}
        for node in range(1, len(index)):
            mtime_ns = index.mtimes[node]
            if index.kinds[node] == Kind.FILE and mtime_ns > made_ns - _BUILD_S * _NS:
                fresh[mtime_ns] = node
        if len(fresh) > 1:
            path = index.path(fresh[max(fresh)])
            message = f"{len(fresh)} different times of the build; this is the last"
            yield Finding(LATE, message, path, number + 1)


_CREATED: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(Z|([+-])(\d\d):(\d\d))"
)


def _nanoseconds(text: str) -> int | None:
    """Read RFC 3339, to the second; None for the epoch's start, which says nothing.

    Nor does a date that no calendar has, which other tools' images may come with.
    """
    import calendar

    found = _CREATED.fullmatch(text)
    if found is None:
        return None
    parts = tuple(int(part) for part in found.groups()[:6])
    try:
        seconds = calendar.timegm(time.struct_time((*parts, 0, 0, 0)))
    except ValueError:  # a month 13, a year 0
        return None
    if found[8]:
        offset = int(found[9]) * 3600 + int(found[10]) * 60
        seconds -= offset if found[8] == "+" else -offset
    return seconds * _NS if seconds > 0 else None


CHECKERS: Final = (
    Checker(NO_PROGRAM, missing_program, needs_image=True),
    Checker(NO_USER, missing_user, needs_image=True),
    Checker(ROOT, root_user, needs_image=True),
    Checker(HISTORY, missing_history, needs_image=True),
    Checker(FOREIGN, nondistributable, needs_image=True),
    Checker(LATE, unpinned_times, needs_image=True),
)
