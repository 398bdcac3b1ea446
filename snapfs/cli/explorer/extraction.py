"""Copying a directory out of an image: each layer is read once, whatever it gives."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections import defaultdict
from typing import Final

from snapfs.cli.image_contents import copy_file, destination_for
from snapfs.cli.wording import counted, human_bytes, printable
from snapfs.errors import NotFoundError
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.merged import MergedTree, Place
from snapfs.layer.index import IndexEntry
from snapfs.layer.kinds import Kind

_LARGE_BYTES: Final = 64 << 20
"""Above this a file is copied by itself, so that the memory does not hold it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Extraction:
    """A file or a directory of an image, to be copied out."""

    inspection: Inspection
    tree: MergedTree
    place: Place

    def to(self, destination: str) -> str:
        """Copy it, into ``destination`` if that is a directory; say what was done.

        Raises:
            AlreadyExistsError: Something is there.
            NotFoundError: The directory above does not exist.
            SnapfsError: A layer cannot be read.
            OSError: It cannot be written.
        """
        name = self.place.path.rpartition(b"/")[2]
        path = destination_for(destination, name)
        if not self.place.is_directory:
            size = copy_file(self.inspection, self.tree, self.place, path)
            return f"{human_bytes(size)} in {printable(path)}"
        copied = copy_directory(self.inspection, self.tree, self.place, path)
        said = f"{counted(copied.files, 'file')}, {human_bytes(copied.size_bytes)}"
        if copied.left_out:
            said += f", {counted(copied.left_out, 'device')} left out"
        return f"{said} in {printable(path)}"


@dataclasses.dataclass(slots=True)
class Copied:
    """What was copied.

    Attributes:
        files: Files and symbolic links.
        size_bytes: Of the files.
        left_out: Devices and the like, which are not copied.
    """

    files: int = 0
    size_bytes: int = 0
    left_out: int = 0


def copy_directory(
    inspection: Inspection, tree: MergedTree, top: Place, destination: str
) -> Copied:
    """Copy a directory to the new directory ``destination``, complete or not at all.

    Permission bits and times are kept; owners, setuid and setgid bits are not.
    Nothing is written through a link: links are made last.

    Raises:
        NotFoundError: The directory above does not exist.
        FileExistsError: ``destination`` exists.
        SnapfsError: A layer cannot be read.
    """
    parent = os.path.dirname(destination) or "."
    if not os.path.isdir(parent):
        raise NotFoundError(f"directory {parent!r} does not exist")
    os.mkdir(destination, 0o700)
    try:
        return _Copy(inspection, tree, top, os.fsencode(destination)).run()
    except BaseException:
        with contextlib.suppress(OSError):  # the first error counts
            shutil.rmtree(destination)
        raise


class _Copy:
    """One copy; ``_bodies`` holds by layer and number where each body goes."""

    def __init__(
        self, inspection: Inspection, tree: MergedTree, top: Place, destination: bytes
    ) -> None:
        self._inspection = inspection
        self._tree = tree
        self._top = top
        self._destination = destination
        self._copied = Copied()
        self._directories = [(destination, tree.entry(top))]
        self._links: list[tuple[bytes, IndexEntry]] = []
        self._bodies: defaultdict[int, defaultdict[int, list[Place]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def run(self) -> Copied:
        for place in self._tree.walk(self._top):
            self._sort(place)
        for layer, bodies in self._bodies.items():
            self._copy_layer(layer, bodies)
        for path, entry in self._links:
            os.symlink(entry.link_target, path)
            times = (entry.mtime_ns, entry.mtime_ns)
            os.utime(path, ns=times, follow_symlinks=False)
        for path, entry in reversed(self._directories):
            os.chmod(path, entry.mode & 0o777)
            os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
        return self._copied

    def _sort(self, place: Place) -> None:
        """Make a directory; note anything else for later."""
        entry = self._tree.entry(place)
        if entry.kind is Kind.DIRECTORY:
            os.mkdir(self._path(place), 0o700)
            self._directories.append((self._path(place), entry))
        elif entry.kind is Kind.SYMLINK:
            self._links.append((self._path(place), entry))
            self._copied.files += 1
        elif entry.kind is Kind.FILE and (body := self._tree.body(place)) is not None:
            layer, node = body
            self._bodies[layer][node].append(place)
            self._copied.files += 1
            self._copied.size_bytes += entry.size_bytes
        else:
            self._copied.left_out += 1

    def _copy_layer(self, layer: int, bodies: dict[int, list[Place]]) -> None:
        index = self._tree.indexes[layer]
        small = {}
        for node, places in bodies.items():
            entry = index.entry(node)
            if entry.size_bytes <= _LARGE_BYTES:
                small[node] = (index.path(node), entry)
                continue
            for place in places:
                path = os.fsdecode(self._path(place))
                copy_file(self._inspection, self._tree, place, path)
        contents = self._inspection.layers[self._tree.first + layer].contents
        for node, content in contents.heads(small, _LARGE_BYTES):
            for place in bodies[node]:
                self._write(place, content)

    def _write(self, place: Place, content: bytes) -> None:
        entry = self._tree.entry(place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path(place), flags, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), entry.mode & 0o777)
            os.utime(file.fileno(), ns=(entry.mtime_ns, entry.mtime_ns))

    def _path(self, place: Place) -> bytes:
        inside = place.path[len(self._top.path) :].lstrip(b"/")
        return os.path.join(self._destination, inside)
