"""umask(2): applied by whoever calls, to every kind of object, and to nothing else."""

from __future__ import annotations

import os
import stat

import pytest

from support.posix_calls import AT_SYMLINK_FOLLOW, linkat
from support.posix_descriptors import opened, reopened, umask
from support.posix_objects import GROUP, USER, directory, file, itself, placed
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(itself(mode=0o777), file("file"), directory("directory"))


def mode_of(place: Place, name: str) -> int:
    return stat.S_IMODE(os.lstat(place / name).st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o027, 0o137, 0o777])
def test_the_umask_is_taken_from_all_that_is_made(place: Place, mask: int) -> None:
    with umask(mask):
        os.close(os.open(place / "new-file", os.O_CREAT, 0o777))
        os.mkdir(place / "new-directory", 0o777)
        os.mkfifo(place / "new-fifo", 0o777)
        os.mknod(place / "new-node", stat.S_IFCHR | 0o777, os.makedev(1, 3))
        os.mknod(place / "new-regular", stat.S_IFREG | 0o777)

    for kind in ("file", "directory", "fifo", "node", "regular"):
        assert mode_of(place, f"new-{kind}") == 0o777 & ~mask


def test_an_unnamed_file_has_the_umask_taken_too(place: Place) -> None:
    with umask(0o027), opened(place.path, os.O_TMPFILE | os.O_RDWR, 0o777) as fd:
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o750
        source = place.path.__class__(reopened(fd))
        linkat(source, place / "named", AT_SYMLINK_FOLLOW)

    assert mode_of(place, "named") == 0o750


def test_the_umask_of_the_caller_counts(place: Place) -> None:
    def make(name: str, mask: int) -> None:
        os.umask(mask)
        os.close(os.open(place / name, os.O_CREAT, 0o666))

    with umask(0o000):
        as_user(lambda: make("one", 0o077), USER, GROUP)
        as_user(lambda: make("two", 0o002), USER, GROUP)

    assert mode_of(place, "one") == 0o600
    assert mode_of(place, "two") == 0o664


def test_a_symbolic_link_has_all_bits(place: Place) -> None:
    with umask(0o777):
        os.symlink("x", place / "link")

    assert mode_of(place, "link") == 0o777


def test_the_umask_leaves_what_is_there(place: Place) -> None:
    with umask(0o777):
        os.chmod(place / "file", 0o644)
        os.rename(place / "file", place / "moved")
        (place / "moved").write_bytes(b"changed")

    assert mode_of(place, "moved") == 0o644


def test_parents_that_a_union_makes_have_the_lower_mode(place: Place) -> None:
    with umask(0o777):
        os.close(os.open(place / "directory/new", os.O_CREAT, 0o666))

    assert mode_of(place, "directory") == 0o755
    assert mode_of(place, "directory/new") == 0
