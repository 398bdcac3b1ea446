"""Walks over whole trees: what they count, remove and refuse."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.model import Usage
from snapfs.worker import levels
from snapfs.worker.measuring import measure_tree
from snapfs.worker.mount_watch import MountWatch
from snapfs.worker.removal import Removal, remove_trees

NOBODY = 65534
DEEP = 3000  # levels: far more than PATH_MAX holds and than stay open


def make_deep(top: Path, levels: int) -> None:
    """Make a chain of directories with a file in each."""
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(levels - 1):
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


def removal_of(tree: Path) -> Removal:
    (outcome,) = remove_trees(str(tree.parent), [tree.name], measured=True)
    return outcome


def remove_tree(tree: Path) -> Usage:
    """Remove a tree that can be removed."""
    outcome = removal_of(tree)
    assert outcome.error is None
    return outcome.usage


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert measure_tree(str(tmp_path / "missing")) == Usage()
    assert remove_tree(tmp_path / "missing") == Usage()


def test_usage_counts_allocated_blocks_and_the_root(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * 10_000)
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 30)
    (tree / "link").symlink_to("/etc")
    expected = sum(
        path.lstat().st_blocks * 512 for path in (tree, *sorted(tree.iterdir()))
    )

    assert measure_tree(str(tree)) == Usage(expected, 4)


def test_hard_links_count_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_bytes(b"x" * 10_000)
    for number in range(5):
        os.link(tree / "one", tree / f"link-{number}")
    single = (tree / "one").stat().st_blocks * 512

    assert measure_tree(str(tree)) == Usage(tree.stat().st_blocks * 512 + single, 2)


def test_a_deep_tree_is_measured_and_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_deep(tree, DEEP)
    before = descriptors()

    assert measure_tree(str(tree)).inodes == 2 * DEEP - 1
    assert remove_tree(tree).inodes == 2 * DEEP - 1

    assert not tree.exists()
    assert descriptors() == before


def test_a_wide_tree_below_a_deep_one_is_visited_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every way up goes by "..": branches at each level show that it leads back.
    monkeypatch.setattr(levels, "_OPEN_LEVELS", 1)
    tree = tmp_path / "tree"
    count = 1
    level = [tree]
    tree.mkdir()
    for _ in range(5):
        level = [above / name for above in level for name in ("a", "b", "c")]
        for path in level:
            path.mkdir()
        count += len(level)

    assert measure_tree(str(tree)).inodes == count
    assert remove_tree(tree).inodes == count
    assert not tree.exists()


def test_the_way_up_must_lead_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Somebody moves a directory out of the tree while the walk is below it.
    monkeypatch.setattr(levels, "_OPEN_LEVELS", 1)
    tree = tmp_path / "tree"
    (tree / "a/b/c/d/e").mkdir(parents=True)
    (tmp_path / "outside/precious").mkdir(parents=True)
    before = descriptors()
    original = os.scandir

    def move_when_deep(fd: int) -> object:
        names = original(fd)
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/b/c"):
            (tree / "a/b").rename(tmp_path / "outside/b")
        return names

    monkeypatch.setattr(os, "scandir", move_when_deep)
    outcome = removal_of(tree)
    monkeypatch.undo()

    assert outcome.error is not None
    assert outcome.error.errno == errno.ESTALE
    assert (tmp_path / "outside/precious").is_dir()
    assert descriptors() == before


def test_what_vanishes_during_a_walk_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    for name in ("a", "b"):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").touch()
    before = descriptors()
    original = os.listdir

    def empty_first(fd: int) -> list[str]:
        names = original(fd)
        where = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if where == tree:
            shutil.rmtree(tree / "a")
        elif where == tree / "b":
            (tree / "b/file").unlink()
        return names

    monkeypatch.setattr(os, "listdir", empty_first)
    usage = measure_tree(str(tree))
    monkeypatch.undo()

    assert usage.inodes == 2  # the root and b
    assert descriptors() == before


def test_a_directory_that_vanishes_between_open_and_read_leaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    before = descriptors()
    original = os.listdir

    def gone(fd: int) -> list[str]:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("/a"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return original(fd)

    monkeypatch.setattr(os, "listdir", gone)
    usage = measure_tree(str(tree))
    monkeypatch.undo()

    assert usage.inodes == 1
    assert descriptors() == before


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("stays")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "to-directory").symlink_to(precious)
    (tree / "to-nothing").symlink_to("/nonexistent")
    os.mkfifo(tree / "pipe")

    assert remove_tree(tree).inodes == 4

    assert (precious / "file").read_text() == "stays"


def test_a_link_in_the_place_of_the_tree_is_removed_itself(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "inner").mkdir(parents=True)
    (tmp_path / "tree").symlink_to(precious)

    assert remove_tree(tmp_path / "tree").inodes == 1

    assert (precious / "inner").is_dir()


def test_names_of_any_bytes_are_removed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in (b"\xff\xfe", b"new\nline", b"-rf", "ü".encode()):
        with open(os.path.join(os.fsencode(tree), name), "wb"):
            pass

    assert remove_tree(tree).inodes == 5
    assert not tree.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes nobody to be refused")
def test_modes_do_not_keep_an_owner_without_privileges_from_removing() -> None:
    # Not below tmp_path, which nobody else may enter.
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory, "tree")
        (tree / "closed/inner").mkdir(parents=True)
        (tree / "closed/inner/file").touch()
        (tree / "closed/inner").chmod(0o500)
        (tree / "closed").chmod(0o000)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", directory], check=True)

        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os._exit(0 if remove_tree(tree).inodes == 4 else 1)

        assert os.waitpid(child, 0)[1] == 0
        assert not tree.exists()


@contextlib.contextmanager
def attribute(path: Path, letter: str) -> Iterator[None]:
    subprocess.run(["chattr", f"+{letter}", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", f"-{letter}", path], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changes attributes")
@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_an_immutable_file_is_an_error_and_the_rest_is_gone(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("a", "b", "c"):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").touch()

    with attribute(tree / "b/file", "i"):
        outcome = removal_of(tree)

        assert isinstance(outcome.error, PermissionError)
        assert outcome.error.filename == "tree/b/file"
        assert outcome.usage.inodes == 4
        assert os.listdir(tree) == ["b"]

    assert remove_tree(tree).inodes == 3


@contextlib.contextmanager
def mounted(target: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.fixture
def tree_with_mountpoint(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a/file").touch()
    (tree / "mount").mkdir()
    return tree


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_tree_with_a_mount_in_it_is_left_whole(tree_with_mountpoint: Path) -> None:
    tree = tree_with_mountpoint
    with mounted(tree / "mount"):
        (tree / "mount/precious").touch()

        outcome = removal_of(tree)

        assert outcome.error is not None
        assert outcome.error.errno == errno.EBUSY
        assert outcome.error.filename == "tree/mount"
        assert outcome.usage == Usage()
        assert (tree / "mount/precious").exists()
        assert (tree / "a/file").exists()

    remove_tree(tree)
    assert not tree.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_mount_that_comes_during_a_removal_is_not_entered(
    tree_with_mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tree_with_mountpoint
    with mounted(tree / "mount"):
        (tree / "mount/precious").touch()
        monkeypatch.setattr(MountWatch, "mount_below", lambda *_: "")

        outcome = removal_of(tree)

        assert outcome.error is not None
        assert outcome.error.errno == errno.EBUSY
        assert (tree / "mount/precious").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_a_mount_that_comes_between_two_trees_is_seen(tmp_path: Path) -> None:
    # The mount table is read once; after that only its changes are asked for.
    for name in ("first", "second", "third"):
        (tmp_path / name / "mount").mkdir(parents=True)

    with contextlib.ExitStack() as mounts, MountWatch.on(str(tmp_path)) as watch:
        before = [watch.mount_below(name) for name in ("first", "second")]
        mounts.enter_context(mounted(tmp_path / "second/mount"))
        during = [watch.mount_below(name) for name in ("first", "second")]
        mounts.close()
        after = watch.mount_below("second")

    assert before == ["", ""]
    assert during == ["", "second/mount"]
    assert after == ""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changes attributes")
@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_one_tree_that_stays_does_not_keep_the_others(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner/file").touch()

    with attribute(tmp_path / "b/inner/file", "i"):
        outcomes = remove_trees(
            str(tmp_path), ["a", "missing", "b", "c"], measured=False
        )

    assert [outcome.usage.inodes for outcome in outcomes] == [3, 0, 0, 3]
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    assert os.listdir(tmp_path) == ["b"]


def test_a_removal_is_measured_only_if_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "empty").mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 10_000)
    expected = measure_tree(str(tmp_path / "a"))

    (measured,) = remove_trees(str(tmp_path), ["a"], measured=True)
    (counted,) = remove_trees(str(tmp_path), ["b"], measured=False)

    assert measured == Removal(expected)
    assert counted == Removal(Usage(0, 3))


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove_trees(str(tmp_path / "missing"), ["a"], measured=False)
