"""The comparison of trees sees every kind of difference that it promises to see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.tree_changes import (
    Change,
    Device,
    Directory,
    Fifo,
    File,
    HardLink,
    Mode,
    ModifiedAt,
    Overwrite,
    Owner,
    Remove,
    Rename,
    Symlink,
    Xattr,
    apply_changes,
)
from support.trees import differences

BASE: tuple[Change, ...] = (
    Directory("etc", 0o750),
    File("etc/hosts", b"127.0.0.1 localhost\n"),
    File("etc/passwd", b"root:x:0:0\n", 0o600),
    Symlink("etc/mtab", "/proc/mounts"),
    HardLink("etc/hosts.same", "etc/hosts"),
    Fifo("queue"),
)


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories with the same tree."""
    left, right = tmp_path / "left", tmp_path / "right"
    for root in (left, right):
        root.mkdir()
        apply_changes(root, BASE)
    return left, right


def test_equal_trees_do_not_differ_even_if_their_times_do(
    twins: tuple[Path, Path],
) -> None:
    left, right = twins
    ModifiedAt("etc/hosts", 1_000_000_000).apply(left)

    assert differences(left, right) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            File("new"), "new: is there, but should not be", id="an extra file"
        ),
        pytest.param(Remove("queue"), "queue: is missing", id="a missing object"),
        pytest.param(
            Mode("etc", 0o755), "etc: mode is 0o755, expected 0o750", id="a mode"
        ),
        pytest.param(
            Mode(".", 0o700), ".: mode is 0o700, expected 0o755", id="the root's mode"
        ),
        pytest.param(
            Mode("etc/passwd", 0o4600),
            "etc/passwd: mode is 0o4600, expected 0o600",
            id="a set-ID bit",
        ),
        pytest.param(
            Symlink("etc/link", "x"),
            "etc/link: is there, but should not be",
            id="an extra link",
        ),
    ],
)
def test_one_change_is_one_difference(
    twins: tuple[Path, Path], change: Change, expected: str
) -> None:
    left, right = twins
    Mode(".", 0o755).apply(right)
    Mode(".", 0o755).apply(left)

    change.apply(left)

    assert differences(left, right) == [expected]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        pytest.param(
            [Overwrite("etc/passwd", b"toor")], {"content"}, id="same size, new content"
        ),
        pytest.param(
            [File("etc/passwd", b"", 0o600)], {"content", "size"}, id="a truncated file"
        ),
        pytest.param(
            [Remove("etc/mtab"), Symlink("etc/mtab", "/proc/mountz")],
            {"content"},
            id="the target of a symbolic link",
        ),
        pytest.param(
            [
                Remove("etc/hosts.same"),
                File("etc/hosts.same", b"127.0.0.1 localhost\n"),
            ],
            {"links"},
            id="a broken hard link",
        ),
        pytest.param(
            [Remove("queue"), Directory("queue", 0o644)], {"type"}, id="a type"
        ),
        pytest.param(
            [Xattr("etc/passwd", "user.origin", b"test")], {"xattrs"}, id="an xattr"
        ),
    ],
)
def test_the_difference_is_named(
    twins: tuple[Path, Path], changes: list[Change], fields: set[str]
) -> None:
    left, right = twins

    apply_changes(left, changes)

    assert {line.split()[1] for line in differences(left, right)} == fields


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes owners")
def test_owners_and_device_numbers_are_compared(twins: tuple[Path, Path]) -> None:
    left, right = twins
    apply_changes(left, [Owner("etc/mtab", 1, 2), Device("null", 1, 3)])
    apply_changes(right, [Device("null", 1, 5)])

    assert differences(left, right) == [
        "etc/mtab: uid is 1, expected 0",
        "etc/mtab: gid is 2, expected 0",
        "null: device is '1:3', expected '1:5'",
    ]


def test_a_renamed_file_is_missing_and_extra(twins: tuple[Path, Path]) -> None:
    left, right = twins

    Rename("queue", "line").apply(left)

    assert differences(left, right) == [
        "line: is there, but should not be",
        "queue: is missing",
    ]
