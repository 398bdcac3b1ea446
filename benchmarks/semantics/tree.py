"""Claims about targets that show directories as one writable tree.

Each probe gets lower directories of its own, presents them once or twice and looks:
what the tree shows, and what became of the lower directories behind its back.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import InvalidResultError, TreeTarget, Workspace
from snapfs.benchmarks.write_back import write_back

# Many pages; most changes touch one.
_BIG: Final = bytes(range(256)) * 1024

COPY_ON_WRITE: Final = "never changes lower directories"
REACHED: Final = "changes through the tree reached a lower directory"

# Several pages of 4 KiB, in which FUSE reads directories.
_MANY: Final = 500


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InvalidResultError(problem)


def _make_lowerdirs(directory: Path, many: int = 3) -> list[Path]:
    """Make two lower directories; return them, highest first.

    ``many`` is the number of files in one of their directories.
    """
    high, low = directory / "high", directory / "low"
    for lowerdir in (high, low):
        (lowerdir / "d/sub").mkdir(parents=True)
    (low / "d/file").write_bytes(b"low")
    (high / "d/file").write_bytes(b"high")
    (low / "d/only-low").write_bytes(b"below")
    (low / "d/sub/deep").write_bytes(b"deep")
    (low / "alone").write_bytes(_BIG)  # it has no second name
    (low / "big").write_bytes(_BIG)
    os.link(low / "big", low / "big-link")
    (low / "symlink").symlink_to("d/file")
    crowd = low / "many"
    crowd.mkdir()
    for number in range(many):
        (crowd / f"n{number:05d}").touch()
    (high / "many").mkdir()
    (high / "many/n00000").write_bytes(b"from above")
    return [high, low]


def fingerprint(root: Path) -> str:
    """Return a hash of names, kinds, modes, times and contents below ``root``."""
    found = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            status = path.lstat()
            facts = (
                os.fsencode(path.relative_to(root)),
                status.st_mode,
                status.st_uid,
                status.st_size if stat.S_ISREG(status.st_mode) else 0,
                status.st_mtime_ns,
                status.st_nlink,
            )
            found.update(repr(facts).encode())
            if stat.S_ISREG(status.st_mode):
                found.update(path.read_bytes())
    return found.hexdigest()


@contextlib.contextmanager
def _presented(
    target: TreeTarget, lowerdirs: Sequence[Path], name: str
) -> Iterator[Path]:
    root = target.present(lowerdirs, name)
    try:
        yield root
    finally:
        target.dismiss(name)


def _shows_the_merged_tree(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "merged") as root:
        _require((root / "d/file").read_bytes() == b"high", "the higher does not win")
        _require((root / "d/only-low").read_bytes() == b"below", "a lower name is gone")
        _require((root / "big").read_bytes() == _BIG, "content differs from the lower")
        _require(os.readlink(root / "symlink") == "d/file", "a symlink differs")


def _never_changes_lowerdirs(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    before = [fingerprint(lowerdir) for lowerdir in lowerdirs]
    with _presented(target, lowerdirs, "changes") as root:
        try:
            _change_everything(root)
        finally:  # also where a change is refused: one before it may have got through
            write_back(root)
            after = [fingerprint(lowerdir) for lowerdir in lowerdirs]
            _require(before == after, REACHED)


def _change_everything(root: Path) -> None:
    with (root / "big").open("ab") as file:
        file.write(b"appended")
    with (root / "d/only-low").open("r+b") as file:
        file.write(b"B")
    (root / "d/file").chmod(0o600)
    os.utime(root / "d", ns=(1, 1))
    (root / "d/sub/deep").unlink()
    (root / "d/new").write_bytes(b"new")
    (root / "many/n00001").rename(root / "many/renamed")


def _keeps_what_is_written(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "kept") as root:
        with (root / "alone").open("r+b") as file:
            file.seek(len(_BIG) // 2)
            file.write(b"changed")
        (root / "d/new").write_bytes(_BIG)
        for path in (root / "alone", root / "d/new"):
            _sync(path)
        target.forget_caches()
        changed = bytearray(_BIG)
        changed[len(_BIG) // 2 : len(_BIG) // 2 + 7] = b"changed"
        _require((root / "alone").read_bytes() == changed, "a changed file lost data")
        _require((root / "d/new").read_bytes() == _BIG, "a new file lost data")


def _hides_what_is_removed(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "removed") as root:
        (root / "d/file").unlink()
        target.forget_caches()
        _require(not (root / "d/file").exists(), "a removed file came back")
        _require("file" not in os.listdir(root / "d"), "a removed file is listed")
        (root / "d/sub/deep").unlink()
        (root / "d/sub").rmdir()
        (root / "d/sub").mkdir()
        target.forget_caches()
        _require(os.listdir(root / "d/sub") == [], "a new directory is not empty")


def _isolates_trees(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with (
        _presented(target, lowerdirs, "one") as one,
        _presented(target, lowerdirs, "two") as two,
    ):
        (one / "d/file").write_bytes(b"mine")
        (one / "d/only-low").unlink()
        _require((two / "d/file").read_bytes() == b"high", "a write shows elsewhere")
        _require((two / "d/only-low").exists(), "a removal shows elsewhere")
    with _presented(target, lowerdirs, "three") as three:
        _require((three / "d/file").read_bytes() == b"high", "a tree starts changed")


def _lists_every_name_once(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory, _MANY)
    with _presented(target, lowerdirs, "listed") as root:
        (root / "many/new").touch()
        (root / "many/n00002").unlink()
        expected = {f"n{number:05d}" for number in range(_MANY)} - {"n00002"} | {"new"}
        listed = os.listdir(root / "many")
        _require(len(listed) == len(set(listed)), "a name is listed twice")
        _require(set(listed) == expected, "the listing is not complete")


def _keeps_hard_links_together(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "links") as root:
        with (root / "big").open("r+b") as file:
            file.write(b"changed")
        with (root / "big-link").open("rb") as file:
            _require(file.read(7) == b"changed", "a change splits two hard links")
        target.forget_caches()
        for name in ("big", "big-link"):
            with (root / name).open("rb") as file:
                found = file.read(7)
            _require(found == b"changed", f"{name} loses the change, mounted anew")


def _keeps_inode_numbers(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "numbers") as root:
        before = (root / "d/file").stat().st_ino
        (root / "d/file").chmod(0o600)
        after = (root / "d/file").stat().st_ino
        _require(before == after, "st_ino changes with the first change")


def _keeps_attributes(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    os.setxattr(lowerdirs[1] / "big", "user.snapfs", b"value")
    with _presented(target, lowerdirs, "attributes") as root:
        with (root / "big").open("ab") as file:
            file.write(b".")
        found = os.getxattr(root / "big", "user.snapfs")
        _require(found == b"value", "an extended attribute changed")


def _keeps_holes(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with (lowerdirs[1] / "sparse").open("wb") as file:
        file.truncate(2 << 20)
    with _presented(target, lowerdirs, "holes") as root:
        with (root / "sparse").open("r+b") as file:
            file.write(b".")
        allocated = (root / "sparse").stat().st_blocks * 512
        _require(allocated < 1 << 20, f"{allocated >> 10} KiB for one byte")


def _renames_directories(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "renames") as root:
        (root / "d").rename(root / "e")
        _require((root / "e/sub/deep").read_bytes() == b"deep", "content is lost")


def _makes_unnamed_files(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "unnamed") as root:
        file = os.open(root / "d", os.O_TMPFILE | os.O_RDWR, 0o600)
        os.close(file)


def _shares_mappings(target: TreeTarget, workspace: Workspace) -> None:
    lowerdirs = _make_lowerdirs(workspace.directory)
    with _presented(target, lowerdirs, "mapped") as root:
        with (root / "big").open("r+b") as file, mmap.mmap(file.fileno(), 0) as pages:
            pages[:7] = b"changed"
            pages.flush()
        written = (root / "big").read_bytes()[:7]
        _require(written == b"changed", "a shared mapping is not written")


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


Probe = Callable[[TreeTarget, Workspace], None]

# The claim, whether a target that breaks it is rejected, and how it is tried.
CLAIMS: Final[Sequence[tuple[str, bool, Probe]]] = (
    ("shows the merged tree", True, _shows_the_merged_tree),
    (COPY_ON_WRITE, True, _never_changes_lowerdirs),
    ("keeps what is written", True, _keeps_what_is_written),
    ("hides what is removed", True, _hides_what_is_removed),
    ("keeps trees apart", True, _isolates_trees),
    ("lists every name once", True, _lists_every_name_once),
    ("keeps hard links together", False, _keeps_hard_links_together),
    ("keeps inode numbers", False, _keeps_inode_numbers),
    ("keeps extended attributes", False, _keeps_attributes),
    ("keeps holes", False, _keeps_holes),
    ("renames directories", False, _renames_directories),
    ("makes unnamed files", False, _makes_unnamed_files),
    ("shares mappings", False, _shares_mappings),
)
