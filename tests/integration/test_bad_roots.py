"""Roots that cannot hold a store, or hold one that cannot be used.

The library, a command that makes things, one that only looks, and the service: each
refuses with the same error, in one clear line, and leaves the place as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs import open_store
from snapfs.assembly.root_directory import nearest_directory
from snapfs.errors import DataLossError
from support.bad_roots import NEW, NO_STORES, STORES, BadRoot
from support.command import Command
from support.mistakes import assert_line, assert_refused, content_of

pytestmark = pytest.mark.root


@contextlib.contextmanager
def unchanged(directory: Path) -> Iterator[None]:
    before = content_of(directory)
    yield
    assert content_of(directory) == before


def each(*tables: dict[str, BadRoot]) -> pytest.MarkDecorator:
    cases = [pytest.param(bad, id=name) for t in tables for name, bad in t.items()]
    return pytest.mark.parametrize("bad", cases)


def told(bad: BadRoot, root: Path) -> tuple[str, ...]:
    """Return what a message must say: of the root, at least what there is of it."""
    return (nearest_directory(str(root)), *bad.names)


@each(NEW, NO_STORES, STORES)
def test_the_library_refuses_it(bad: BadRoot, tmp_path: Path) -> None:
    with bad.make(tmp_path) as root, unchanged(tmp_path):
        with pytest.raises(bad.error) as caught:
            open_store(root, driver=bad.driver)

        assert type(caught.value) is bad.error
        assert_line(str(caught.value), *told(bad, root))


@each(NEW, NO_STORES, STORES)
def test_a_command_refuses_it(bad: BadRoot, tmp_path: Path) -> None:
    with bad.make(tmp_path) as root, unchanged(tmp_path):
        done = Command(root)("--driver", bad.driver, "prepare", "new")

        assert_refused(done, bad.error, *told(bad, root))


@each(NO_STORES, STORES)
def test_a_command_that_only_looks_refuses_it(bad: BadRoot, tmp_path: Path) -> None:
    with bad.make(tmp_path) as root, unchanged(tmp_path):
        done = Command(root)("check")

        assert_refused(done, bad.error, *told(bad, root))


@each(NEW, NO_STORES, STORES)
def test_the_service_does_not_start_on_it(bad: BadRoot, tmp_path: Path) -> None:
    with bad.make(tmp_path) as root, unchanged(tmp_path):
        words = ("--driver", bad.driver, "serve", "--address", tmp_path / "c.sock")
        done = Command(root)(*words)

        assert_refused(done, bad.error, *told(bad, root))


def test_a_damaged_store_is_free_for_who_repairs_it(tmp_path: Path) -> None:
    with STORES["without its identity"].make(tmp_path) as root:
        command = Command(root)
        command("ls")
        other = Command(tmp_path / "other")
        other.ok("prepare", "a")

        done = command("ls")

    assert_refused(done, DataLossError, "store.json")
    assert other.ok("check") == ""


@pytest.mark.parametrize("word", ["ls", "tree", "usage", "check", "cleanup", "top"])
def test_looking_at_a_store_that_is_not_there_makes_none(
    tmp_path: Path, word: str
) -> None:
    root = tmp_path / "a" / "root"

    done = Command(root)(word)

    assert done.returncode == 3
    assert done.stderr == f"snapfs: no store in {root}; `snapfs prepare` makes one\n"
    assert os.listdir(tmp_path) == []


def test_an_empty_directory_is_no_store_until_something_is_prepared(
    tmp_path: Path,
) -> None:
    command = Command(tmp_path)

    assert command("ls").returncode == 3
    assert os.listdir(tmp_path) == []
    command.ok("prepare", "work")
    assert command("ls").returncode == 0


def test_missing_directories_above_the_root_are_made(tmp_path: Path) -> None:
    command = Command(tmp_path / "a" / "b" / "root")

    command.ok("prepare", "work")

    assert command.root.stat().st_mode & 0o777 == 0o700
    assert command.ok("check") == ""


def test_a_creation_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    command = Command(tmp_path / "root")
    command.ok("prepare", "work")
    command.ok("rm", "work")
    for path in ("store.json", "metadata.db"):
        (command.root / path).unlink()
    (command.root / ".snapfs-probe-x").mkdir()  # a probe that was killed

    assert command("ls").returncode == 3
    command.ok("prepare", "work")
    assert command.ok("check") == ""
    assert not [name for name in os.listdir(command.root) if name.startswith(".")]
