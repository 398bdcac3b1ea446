"""The reference: GNU tar, layer by layer, with whiteouts applied by brute force.

Shares nothing with snapfs: names come from :mod:`tarfile`, all else from the tar
command. Everything goes to one directory, as umoci does it, and only as root.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_EXTRACT = (
    *("tar", "--extract", "--file=-", "--numeric-owner", "--same-owner"),
    *("--preserve-permissions", "--xattrs", "--xattrs-include=*", "--acls"),
    *("--exclude=.wh.*", "--exclude=*/.wh.*", "--anchored", "--wildcards"),
    *("--delay-directory-restore", "--warning=no-timestamp"),
)


def unpack_by_tar(layout: Path, rootfs: Path) -> None:
    """Unpack the gzip layers of a layout's one image into the new ``rootfs``.

    Raises:
        subprocess.CalledProcessError: tar failed.
    """
    rootfs.mkdir(0o755)
    for blob in _layers(layout):
        with gzip.open(blob) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
            members = [(member.name, member.isdir()) for member in tar]
        _make_room(rootfs, members)
        with gzip.open(blob) as plain:
            extracting = subprocess.Popen(
                [*_EXTRACT, "-C", rootfs], stdin=subprocess.PIPE
            )
            assert extracting.stdin is not None
            with extracting.stdin as pipe:
                shutil.copyfileobj(plain, pipe, 1 << 20)
            if extracting.wait():
                raise subprocess.CalledProcessError(extracting.returncode, _EXTRACT)


def _layers(layout: Path) -> Iterator[Path]:
    index = _document(layout / "index.json")
    manifest = _document(_blob(layout, index["manifests"][0]["digest"]))
    for layer in manifest["layers"]:
        yield _blob(layout, layer["digest"])


def _document(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def _make_room(rootfs: Path, members: list[tuple[str, bool]]) -> None:
    """Delete what the layer deletes or puts something else in the place of."""
    for name, is_directory in members:
        path = os.path.normpath(os.path.join(rootfs, name.lstrip("/")))
        directory, base = os.path.split(path)
        if base == ".wh..wh..opq":
            for child in os.listdir(directory) if os.path.isdir(directory) else ():
                _delete(os.path.join(directory, child))
        elif base.startswith(".wh."):
            _delete(os.path.join(directory, base.removeprefix(".wh.")))
        elif is_directory != (os.path.isdir(path) and not os.path.islink(path)):
            _delete(path)


def _delete(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
