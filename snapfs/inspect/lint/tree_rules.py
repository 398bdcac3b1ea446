"""Rules on what a container sees: permissions, devices, caches, symlinks."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from snapfs.inspect.findings import Finding, Rule, Severity
from snapfs.inspect.lint.subject import Checker, Subject
from snapfs.inspect.resolution import resolve
from snapfs.layer.kinds import Flag, Kind

SETUID: Final = Rule(
    "setuid-file",
    Severity.WARNING,
    "A layer above the base brings a program that runs with its owner's rights",
    "Leave it out, or take the bit away in the step that installs it (chmod a-s)",
)
CAPABILITIES: Final = Rule(
    "file-capabilities",
    Severity.NOTE,
    "A layer above the base brings a program with capabilities of its own",
    "Leave it out, or take them away in the step that installs it (setcap -r)",
)
WRITABLE: Final = Rule(
    "world-writable",
    Severity.WARNING,
    "Every user of the container can change it",
    "Set the mode in the step that makes it (chmod o-w, or o+t for a shared directory)",
)
DEVICE: Final = Rule(
    "device-node",
    Severity.NOTE,
    "The image has a device node; runtimes make those that a container may use",
    "Leave /dev empty: build without mknod, and export without what was mounted there",
)
CACHE: Final = Rule(
    "package-cache",
    Severity.WARNING,
    "What a package manager downloaded is left in the image",
    "Remove it in the RUN that installs, or keep it out by 'RUN --mount=type=cache'",
)
BROKEN: Final = Rule(
    "broken-symlink",
    Severity.NOTE,
    "A symbolic link leads nowhere",
    "Remove the link together with what it named, or install what it names",
)

_SETUID: Final = 0o4000
_SETGID: Final = 0o2000
_STICKY: Final = 0o1000
_GROUP_EXECUTE: Final = 0o010
_OTHERS_WRITE: Final = 0o002


def setuid_files(subject: Subject) -> Iterator[Finding]:
    """Look for setuid programs, and setgid ones: without x it is a lock mode."""
    for place in subject.shown:
        mode = subject.mode(place)
        is_setgid = mode & _SETGID and mode & _GROUP_EXECUTE
        if not (mode & _SETUID or is_setgid) or subject.is_base(place):
            continue
        if subject.kind(place) is Kind.FILE:
            entry = subject.tree.entry(place)
            who = f"uid {entry.uid}" if mode & _SETUID else f"gid {entry.gid}"
            yield Finding(
                SETUID, f"runs as {who} (mode {mode:04o})", place.path, place.layer + 1
            )


def file_capabilities(subject: Subject) -> Iterator[Finding]:
    """Look for ``security.capability`` (capabilities(7))."""
    for place in subject.shown:
        index = subject.tree.indexes[place.layer]
        if not index.extras[place.node] or subject.is_base(place):
            continue
        if b"security.capability" in index.xattrs(place.node):
            message = "has file capabilities"
            yield Finding(CAPABILITIES, message, place.path, place.layer + 1)


def world_writable(subject: Subject) -> Iterator[Finding]:
    """Look for files, and for directories without the sticky bit."""
    for place in subject.shown:
        mode = subject.mode(place)
        if not mode & _OTHERS_WRITE:
            continue
        kind = subject.kind(place)
        is_directory = kind is Kind.DIRECTORY
        flags = subject.tree.indexes[place.layer].flags[place.node]
        if is_directory and (mode & _STICKY or flags & Flag.IMPLIED):
            continue
        if is_directory or kind is Kind.FILE:
            what = "directory without the sticky bit" if is_directory else "file"
            yield Finding(
                WRITABLE, f"{what}, mode {mode:04o}", place.path, place.layer + 1
            )


def device_nodes(subject: Subject) -> Iterator[Finding]:
    """Look for devices."""
    for place in subject.shown:
        kind = subject.kind(place)
        if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            major, minor = subject.tree.indexes[place.layer].device(place.node)
            message = f"{kind.words} {major}:{minor}"
            yield Finding(DEVICE, message, place.path, place.layer + 1)


# Where package managers keep what they download. A home directory may be anyone's.
_HOME: Final = rb"(?:root|home/[^/]+)"
_CACHES: Final = re.compile(
    rb"(var/lib/apt/lists|var/cache/apt|var/cache/(?:apk|dnf|yum|libdnf5|zypp|pacman/pkg)"
    rb"|etc/apk/cache|usr/local/share/\.cache/(?:yarn|v6)"
    rb"|%(home)s/(?:\.cache/(?:pip|uv|pypoetry|yarn|go-build)|\.npm/_cacache"
    rb"|\.cargo/registry/cache|\.composer/cache|\.bundle/cache|\.nuget/packages)"
    rb")/." % {b"home": _HOME}
)
_CACHE_BYTES: Final = 64 << 10
"""What is not worth a word: locks, empty indexes."""


def package_caches(subject: Subject) -> Iterator[Finding]:
    """Look for caches that a container sees, a finding for each and its layer."""
    found: defaultdict[tuple[bytes, int], list[int]] = defaultdict(list)
    for place in subject.shown:
        cache = _CACHES.match(place.path)
        if cache and subject.kind(place) is Kind.FILE:
            size = subject.tree.indexes[place.layer].sizes[place.node]
            found[cache[1], place.layer].append(size)
    for (path, layer), sizes in sorted(found.items()):
        if sum(sizes) >= _CACHE_BYTES:
            files = "file" if len(sizes) == 1 else "files"
            message = f"{len(sizes)} {files}, {sum(sizes)} bytes"
            yield Finding(CACHE, message, path, layer + 1)


# Filled when a container starts, or with what small images leave out on purpose.
_ELSEWHERE: Final = re.compile(
    rb"(?:proc|sys|dev|run|tmp|var/run|var/lock|var/tmp"
    rb"|usr/(?:local/)?share/(?:doc|man|info|locale))(?:/|$)"
)


def broken_symlinks(subject: Subject) -> Iterator[Finding]:
    """Look for links whose target the image does not have."""
    for place in subject.shown:
        if subject.kind(place) is not Kind.SYMLINK or _ELSEWHERE.match(place.path):
            continue
        target = subject.tree.indexes[place.layer].link_target(place.node)
        end = resolve(subject.tree, place.path)
        # A path ends at the first directory that is not there; look at all of it.
        parent = place.path.rpartition(b"/")[0]
        whole = os.path.normpath(os.path.join(b"/", parent, target)).lstrip(b"/")
        is_elsewhere = _ELSEWHERE.match(end.path) or _ELSEWHERE.match(whole)
        if end.place is None and not is_elsewhere:
            message = f"leads to {os.fsdecode(target)!r}: {end.problem}"
            yield Finding(BROKEN, message, place.path, place.layer + 1)


CHECKERS: Final = (
    Checker(SETUID, setuid_files),
    Checker(CAPABILITIES, file_capabilities),
    Checker(WRITABLE, world_writable),
    Checker(DEVICE, device_nodes),
    Checker(CACHE, package_caches),
    Checker(BROKEN, broken_symlinks),
)
