"""How many messages an operation costs: exactly the table of docs/fuse-protocol.md.

Messages are what a FUSE mount spends its time on, so their number is held here. "Cold"
is the first time on a name, "warm" the second, or the second of such names in one
directory; what the kernel asks once in the life of a mount has been asked before.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from support.fuse_mounts import MountedUnion, mounted_union
from support.sandbox import REPOSITORY

pytestmark = [pytest.mark.fuse, pytest.mark.root]

FILES: Final = 40
LARGE: Final = 1 << 20
MODES: Final = ("fast", "io")
DOCUMENT: Final = REPOSITORY / "docs" / "fuse-protocol.md"

Step = Callable[[Path, int], object]


@pytest.fixture(params=MODES)
def union(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MountedUnion]:
    """A traced mount of two layers that share a directory, its opens free already."""
    high, low, upper, work, merged = (
        tmp_path / name for name in ("high", "low", "upper", "work", "merged")
    )
    for path in (high / "dir", low / "dir", upper, work, merged):
        path.mkdir(parents=True)
    for number in range(FILES):
        (high / "dir" / f"high{number}").write_bytes(b"x" * 100)
        (low / "dir" / f"low{number}").write_bytes(b"x" * 100)
    (low / "dir" / "large").write_bytes(b"x" * LARGE)
    (low / "dir" / "link").symlink_to("low1")
    options = ["debug", f"mode={request.param}"]
    with mounted_union([high, low], upper, work, merged, options) as mounted:
        # What is refused once is never asked again: OPEN, OPENDIR, CREATE, FLUSH.
        with open(merged / "first", "wb") as file:
            file.write(b"1")
            os.fsync(file.fileno())
        os.listdir(merged)
        os.stat(merged / "dir")
        mounted.messages()
        yield mounted


def _read(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return len(os.read(fd, 2 * LARGE))
    finally:
        os.close(fd)


def _write(path: Path, flags: int, data: bytes = b"data") -> None:
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _create(directory: Path, number: int) -> None:
    _write(directory / f"new{number}", os.O_CREAT | os.O_EXCL)


def _look_for_nothing(directory: Path, _number: int) -> None:
    with suppress(FileNotFoundError):
        os.stat(directory / "nothing")


def _unpack(directory: Path, number: int) -> None:
    """Make a file as GNU tar does for root."""
    fd = os.open(
        directory / f"new{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600
    )
    try:
        os.write(fd, b"data")
        os.utime(fd, ns=(5, 5))
        os.fchown(fd, 0, 0)
        os.fchmod(fd, 0o644)
    finally:
        os.close(fd)


def _list_long(directory: Path, _number: int) -> None:
    subprocess.run(["ls", "-l", directory], stdout=subprocess.DEVNULL, check=True)


STEPS: Final[Mapping[str, Step]] = MappingProxyType(
    {
        "stat": lambda d, _: os.stat(d / "low1"),
        "stat of no file": _look_for_nothing,
        "open, read, close: 100 bytes": lambda d, _: _read(d / "low1"),
        "open, read, close: 1 MiB": lambda d, _: _read(d / "large"),
        "readlink": lambda d, _: os.readlink(d / "link"),
        "list 83 names": lambda d, _: os.listdir(d),
        "ls -l of 83 names": _list_long,
        "access": lambda d, _: os.access(d / "low1", os.R_OK),
        "statfs": lambda d, _: os.statvfs(d),
        "create, write, close": _create,
        "create as tar does": _unpack,
        "mkdir": lambda d, n: os.mkdir(d / f"new{n}"),
        "symlink": lambda d, n: os.symlink("low1", d / f"new{n}"),
        "link": lambda d, n: os.link(d / "low1", d / f"new{n}"),
        "unlink": lambda d, n: os.unlink(d / f"low{n}"),
        "rename": lambda d, n: os.rename(d / f"low{n}", d / f"to{n}"),
        "chmod": lambda d, n: os.chmod(d / "low1", 0o600 + n),
        "open, append, close": lambda d, _: _write(d / "low1", os.O_APPEND),
        "open, append, close: 1 MiB": lambda d, _: _write(
            d / "large", os.O_APPEND, b"x" * LARGE
        ),
        "getxattr": lambda d, _: os.listxattr(d / "low1"),
        "setxattr": lambda d, n: os.setxattr(d / "low1", "user.n", b"%d" % n),
    }
)


def _documented() -> dict[str, tuple[int, ...]]:
    """Return the rows of the document's table: cold and warm, for each mode."""
    rows: dict[str, tuple[int, ...]] = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        numbers = [cell for cell in cells[1:5] if cell.isdigit()]
        if line.startswith("|") and len(numbers) == 4:
            rows[cells[0]] = tuple(map(int, numbers))
    return rows


def test_the_document_has_these_operations_and_no_others() -> None:
    assert list(_documented()) == list(STEPS)


@pytest.mark.parametrize("operation", STEPS)
def test_an_operation_costs_the_messages_that_are_documented(
    union: MountedUnion, request: pytest.FixtureRequest, operation: str
) -> None:
    directory = union.mountpoint / "dir"
    mode = MODES.index(request.node.callspec.params["union"])
    expected = _documented()[operation][2 * mode : 2 * mode + 2]

    counts: list[Counter[str]] = []
    for number in range(2):
        STEPS[operation](directory, number)
        counts.append(union.messages())

    assert tuple(count.total() for count in counts) == expected, counts


def test_removing_listed_files_costs_two_messages_each(union: MountedUnion) -> None:
    directory = union.mountpoint / "dir"
    names = [entry.name for entry in os.scandir(directory) if entry.stat().st_size]
    union.messages()

    for name in names:
        os.unlink(directory / name)

    assert union.messages().total() <= 2 * len(names)


def test_creating_files_costs_five_messages_each(union: MountedUnion) -> None:
    directory = union.mountpoint / "dir"

    for number in range(FILES):
        _create(directory, number)

    assert union.messages().total() <= 5 * FILES
