"""``snapfs export`` and its like as processes, and what they wrote."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

from support.applied_layers import directory, entry, hard_link, symlink
from support.command import Command
from support.tree_metadata import Tree, read_metadata

# What an image can show: each layer adds, changes, hides.
RICH_LAYERS = (
    [
        directory("./", 0o751, owner=(3, 4)),
        directory("etc"),
        entry("etc/passwd", b"root", owner=(0, 42), xattrs={"user.a": b"\n=\0"}),
        hard_link("etc/passwd-", "etc/passwd"),
        # GNU tar's escape of "=", where the key of a PAX record ends.
        entry("etc/odd", xattrs={"user.a%3Db": b"1", "user.none": b""}),
        entry("bin/sudo", b"binary", mode=0o4755),
        symlink("lib", "usr/" + "l" * 120),
        entry("gone/file", b"old"),
        entry("hidden/one", b"1"),
        entry("type", b"a file first"),
        entry("dev/null", type_=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        entry("run/pipe", type_=tarfile.FIFOTYPE),
    ],
    [
        entry(".wh.gone"),
        directory("hidden", 0o700),
        entry("hidden/.wh..wh..opq"),
        entry("hidden/two", b"2"),
        directory("type"),
        entry("type/inner", bytes(300_000)),
        entry("etc/" + "n" * 200, b"long name", owner=(3_000_000, 2**31)),
    ],
    [entry("etc/passwd", b"changed"), entry("late", b"", mtime=1)],
)

Document = dict[str, Any]
"""A JSON document; its keys are what the tests are about."""


def exported(command: Command, *words: str | Path) -> Document:
    """Run a command with ``--json``; return its document."""
    found: Document = json.loads(command.ok(*words, "--json"))
    return found


def shown(command: Command, what: str, target: Path) -> Tree:
    """Return all that a mount of a snapshot shows."""
    target.mkdir()
    command.ok("mount", what, target)
    try:
        return read_metadata(os.fsencode(target))
    finally:
        command.ok("umount", target)


def blob(layout: Path, digest: str) -> bytes:
    """Return a blob of an OCI layout."""
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def documents(layout: Path) -> tuple[Document, Document]:
    """Return manifest and config of the only image in an OCI layout."""
    index = json.loads((layout / "index.json").read_bytes())
    (entry,) = index["manifests"]
    manifest = json.loads(blob(layout, entry["digest"]))
    return manifest, json.loads(blob(layout, manifest["config"]["digest"]))
