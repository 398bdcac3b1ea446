"""Which packages an image has installed, as their managers' own records tell.

Read are dpkg's status (also the files that images without dpkg keep), apk's list, and
the names of the directories that Python's installers leave, and the manifests of
what npm and its like put into ``node_modules``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from snapfs.inspect.inspection import Body, Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.kinds import Kind

_DPKG: Final = b"var/lib/dpkg/status"
_DPKG_PARTS: Final = b"var/lib/dpkg/status.d"
_RECORD_BYTES: Final = 64 << 20
"""What is read of a record; those of whole distributions have a tenth of it."""

_APK: Final = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")

# "Recording installed projects" of the packaging specifications, and setuptools' old
# form; the version begins with a digit, or with an epoch.
_PYTHON: Final = re.compile(
    rb"(?:^|/)([A-Za-z0-9][\w.]*?)-(\d[^/-]*)(?:-py[\d.]+)?\.(?:dist-info|egg-info)$"
)

# A package's own manifest; scopes are part of its name.
_NODE: Final = re.compile(
    rb"(?:^|/)node_modules/((?:@[^/]+/)?[^/@.][^/]*)/package\.json$"
)
_MANIFEST_BYTES: Final = 1 << 20


class Package(NamedTuple):
    """A package by the manager that knows it; ``name`` has dpkg's architecture."""

    manager: str
    name: str


def packages(inspection: Inspection) -> dict[Package, tuple[str, ...]]:
    """Return the versions of each package that the whole image has installed.

    Raises:
        SnapfsError: A record cannot be read.
    """
    tree = inspection.tree()
    found: defaultdict[Package, set[str]] = defaultdict(set)
    for package, version in _all(inspection, tree):
        found[package].add(version)
    return {package: tuple(sorted(found[package])) for package in sorted(found)}


def _all(inspection: Inspection, tree: MergedTree) -> Iterator[tuple[Package, str]]:
    for place in _dpkg_records(tree):
        yield from _dpkg(_text(inspection, tree, place))
    for path in _APK:
        record = tree.lookup(path)
        if record is not None and tree.entry(record).kind is Kind.FILE:
            yield from _apk(_text(inspection, tree, record))
    yield from _python(tree)
    yield from _node(inspection, tree)


def _dpkg_records(tree: MergedTree) -> Iterator[Place]:
    places = [tree.lookup(_DPKG)]
    parts = tree.lookup(_DPKG_PARTS)
    if parts is not None and parts.is_directory:
        places += tree.children(parts)
    for place in places:
        if place is not None and tree.entry(place).kind is Kind.FILE:
            yield place


def _text(inspection: Inspection, tree: MergedTree, place: Place) -> str:
    body = tree.body(place)
    assert body is not None  # an entry of kind FILE
    ((_, text),) = inspection.heads([body], _RECORD_BYTES)
    return text.decode("utf-8", "replace")


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each paragraph; what continues a field is left out."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if not line.strip():
            yield fields
            fields = {}
        elif line[0] not in " \t":
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    yield fields


def _dpkg(text: str) -> Iterator[tuple[Package, str]]:
    """Read paragraphs as of deb-control(5)."""
    for fields in _paragraphs(text):
        # "deinstall ok config-files" is no longer there; a part has no status.
        state = fields.get("Status", "installed").split()
        if "Package" in fields and state[-1:] == ["installed"]:
            name = fields["Package"]
            if fields.get("Architecture", "all") != "all":
                name += f":{fields['Architecture']}"
            yield Package("dpkg", name), fields.get("Version", "")


def _apk(text: str) -> Iterator[tuple[Package, str]]:
    """Read apk's list: lines of a letter, a colon and a value."""
    for fields in _paragraphs(text):
        if "P" in fields:
            yield Package("apk", fields["P"]), fields.get("V", "")


def _python(tree: MergedTree) -> Iterator[tuple[Package, str]]:
    for place in tree.walk():
        if not place.path.endswith((b".dist-info", b".egg-info")):
            continue
        named = _PYTHON.search(place.path)
        if named:
            name = re.sub(r"[-_.]+", "-", named[1].decode(errors="replace")).lower()
            yield Package("python", name), named[2].decode(errors="replace")


class _Manifest(msgspec.Struct):
    version: str = ""


def _node(inspection: Inspection, tree: MergedTree) -> Iterator[tuple[Package, str]]:
    names: dict[Body, str] = {}
    for place in tree.walk():
        named = _NODE.search(place.path)
        if named and tree.entry(place).kind is Kind.FILE:
            body = tree.body(place)
            assert body is not None  # an entry of kind FILE
            names[body] = named[1].decode(errors="replace")
    for body, head in inspection.heads(names, _MANIFEST_BYTES):
        try:
            manifest = msgspec.json.decode(head, type=_Manifest)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue  # a test's, or damaged: no package that could run
        if manifest.version:
            yield Package("npm", names[body]), manifest.version
