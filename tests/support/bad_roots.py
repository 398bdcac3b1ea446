"""Places that cannot hold a store, and stores that cannot be used.

Each with how it is made, and what who opens it must be told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from snapfs import open_store
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    SnapfsError,
    UnavailableError,
)
from support.disks import overlay_disk, read_only, small_disk, untyped_disk

Place = Callable[[Path], AbstractContextManager[Path]]


@dataclasses.dataclass(frozen=True, slots=True)
class BadRoot:
    """A place that is refused.

    Attributes:
        make: Makes it in a directory; yields the root to open.
        names: What the message must say, besides the name of the place.
        driver: With this one; another may work there.
    """

    make: Place
    error: type[SnapfsError]
    names: tuple[str, ...]
    driver: str = "auto"


def plain(make: Callable[[Path], Path]) -> Place:
    """Return a place that needs nothing to be taken away afterwards."""

    @contextlib.contextmanager
    def place(directory: Path) -> Iterator[Path]:
        yield make(directory)

    return place


def store_with(damage: Callable[[Path], object]) -> Place:
    """Return the place of a store with snapshots, to which ``damage`` was done."""

    def make(directory: Path) -> Path:
        root = directory / "root"
        with open_store(root) as store:
            store.prepare("making")
            store.commit("base", "making")
            store.prepare("top", "base")
        damage(root)
        return root

    return plain(make)


def written(place: Path, content: bytes) -> Path:
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    return place


def make_newer(root: Path) -> None:
    identity = json.loads((root / "store.json").read_text())
    (root / "store.json").write_text(json.dumps({**identity, "version": 2}))


def make_newer_schema(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "metadata.db")) as database:
        database.execute("PRAGMA user_version = 2")


def give_another_identity(root: Path) -> None:
    identity = json.loads((root / "store.json").read_text())
    other = "00000000-0000-4000-8000-000000000000"
    (root / "store.json").write_text(json.dumps({**identity, "store_id": other}))


def break_pages(root: Path) -> None:
    with (root / "metadata.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)


@contextlib.contextmanager
def read_only_disk(directory: Path) -> Iterator[Path]:
    with small_disk(directory / "disk") as disk, read_only(disk):
        yield disk / "root"


@contextlib.contextmanager
def read_only_store(directory: Path) -> Iterator[Path]:
    with small_disk(directory / "disk") as disk:
        with open_store(disk / "root") as store:
            store.prepare("a")
        with read_only(disk):
            yield disk / "root"


@contextlib.contextmanager
def untyped(directory: Path) -> Iterator[Path]:
    with untyped_disk(directory / "disk") as disk:
        yield disk


@contextlib.contextmanager
def below_untyped(directory: Path) -> Iterator[Path]:
    with untyped_disk(directory / "disk") as disk:
        yield disk / "var" / "root"


@contextlib.contextmanager
def overlaid(directory: Path) -> Iterator[Path]:
    with overlay_disk(directory / "disk") as disk:
        yield disk / "root"


NEW: Final = {
    "without d_type": BadRoot(
        untyped, UnavailableError, ("d_type", "filetype"), driver="kernel"
    ),
    "below what has no d_type": BadRoot(
        below_untyped, UnavailableError, ("d_type",), driver="kernel"
    ),
    "on an overlay": BadRoot(
        overlaid, UnavailableError, ("overlay", "another", "whiteouts")
    ),
    "on a read-only disk": BadRoot(
        read_only_disk, PermissionDeniedError, ("Read-only",)
    ),
    "in a filesystem of the kernel": BadRoot(
        plain(lambda _: Path("/proc/snapfs")), UnavailableError, ("/proc",)
    ),
    "a name that is too long": BadRoot(
        plain(lambda directory: directory / ("x" * 300)),
        InvalidArgumentError,
        ("too long", "--root"),
    ),
}
NO_STORES: Final = {
    "a file": BadRoot(
        plain(lambda directory: written(directory / "root", b"x")),
        InvalidArgumentError,
        ("not a directory", "--root"),
    ),
    "below a file": BadRoot(
        plain(lambda directory: written(directory / "file", b"x") / "a" / "root"),
        InvalidArgumentError,
        ("not a directory", "--root"),
    ),
    "a directory of somebody else": BadRoot(
        plain(lambda directory: written(directory / "root" / "notes", b"x").parent),
        InvalidArgumentError,
        ("'notes'", "no snapfs store", "--root"),
    ),
    "another program's store": BadRoot(
        plain(
            lambda directory: (
                written(
                    directory / "root" / "store.json", b'{"format": "x", "version": 1}'
                ).parent
            )
        ),
        InvalidArgumentError,
        ("no snapfs store", "'x'", "--root"),
    ),
}
STORES: Final = {
    "made by a newer version": BadRoot(
        store_with(make_newer), FailedPreconditionError, ("version 2", "newer snapfs")
    ),
    "with a newer database": BadRoot(
        store_with(make_newer_schema),
        FailedPreconditionError,
        ("version 2", "newer snapfs"),
    ),
    "with a damaged database": BadRoot(
        store_with(break_pages), DataLossError, ("metadata.db", "damaged", "backup")
    ),
    "with something else as the database": BadRoot(
        store_with(lambda root: (root / "metadata.db").write_bytes(b"\xff" * 8192)),
        DataLossError,
        ("metadata.db", "damaged", "backup"),
    ),
    "with an empty database": BadRoot(
        store_with(lambda root: (root / "metadata.db").write_bytes(b"")),
        DataLossError,
        ("metadata.db", "empty", "backup"),
    ),
    "without its database": BadRoot(
        store_with(lambda root: (root / "metadata.db").unlink()),
        DataLossError,
        ("metadata.db", "No such file", "backup"),
    ),
    "with the database of another store": BadRoot(
        store_with(give_another_identity),
        DataLossError,
        ("metadata.db", "belongs to store"),
    ),
    "with a damaged identity": BadRoot(
        store_with(lambda root: (root / "store.json").write_bytes(b"{")),
        DataLossError,
        ("store.json", "damaged", "backup"),
    ),
    "without its identity": BadRoot(
        store_with(lambda root: (root / "store.json").unlink()),
        DataLossError,
        ("store.json", "missing", "backup"),
    ),
    "whose snapshots are gone": BadRoot(
        store_with(lambda root: (root / "snapshots").rename(root / "elsewhere")),
        DataLossError,
        ("snapshots is missing", "restore"),
    ),
    "on a disk that became read-only": BadRoot(
        read_only_store, PermissionDeniedError, ("Read-only",)
    ),
}
