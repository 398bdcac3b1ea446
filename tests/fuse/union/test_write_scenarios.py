"""Every change on every kind of layer: results and the tree are kernel overlayfs's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from snapfs.overlay_format import XattrPrefix
from snapfs.syscalls import (
    mount,
    umount2,
)
from support.engine_tree import UMASK
from support.kernel_tree import Change, KernelTree, result_of
from support.random_changes import random_changes
from support.union_changes import CHANGED, GONE, LOWER_0, LOWER_1, NEW, UPPER
from support.union_renames import ACLS, MOVED, RENAMED
from support.written_unions import Sandbox, build, make_old, raw_state, view

pytestmark = pytest.mark.root


def _sandbox(root: Path, mount_options: str = "redirect_dir=on") -> Sandbox:
    sandbox = Sandbox(root)
    build(sandbox.lowers[1], LOWER_1)
    build(sandbox.lowers[0], LOWER_0)
    with sandbox.mounted(mount_options) as merged:
        tree = KernelTree(merged)
        for change in UPPER:
            assert result_of(tree, change) in (None, 5), change
    make_old(sandbox.upper)
    return sandbox


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(UMASK)
    yield
    os.umask(before)


@pytest.mark.parametrize("changes", [*NEW, *GONE, *CHANGED, *RENAMED, *ACLS])
def test_a_change_leaves_the_tree_that_the_kernel_leaves(
    tmp_path: Path, changes: list[Change]
) -> None:
    _compare(tmp_path, changes)


@pytest.mark.parametrize("changes", [*GONE, *MOVED])
def test_without_redirects_a_lower_directory_does_not_move(
    tmp_path: Path, changes: list[Change]
) -> None:
    _compare(tmp_path, changes, "redirect_dir=off", write_redirects=False)


@pytest.mark.parametrize("changes", [*GONE, *MOVED])
def test_user_marks_are_those_of_a_userxattr_mount(
    tmp_path: Path, changes: list[Change]
) -> None:
    _compare(tmp_path, changes, "userxattr", prefix=XattrPrefix.USER)


@pytest.mark.parametrize("changes", [*GONE, *CHANGED, *ACLS])
def test_on_tmpfs_the_tree_is_the_same(tmpfs: Path, changes: list[Change]) -> None:
    _compare(tmpfs, changes)


@pytest.mark.parametrize("seed", range(24))
def test_random_changes_leave_the_tree_that_the_kernel_leaves(
    tmp_path: Path, seed: int
) -> None:
    _compare(tmp_path, random_changes(seed, 60), is_path_error_one=True)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "tmpfs"
    root.mkdir()
    mount("tmpfs", root, "tmpfs", 0, b"size=64m,mode=755")
    try:
        yield root
    finally:
        umount2(root)


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_kernel_goes_on_where_the_engine_stopped_and_back(
    tmp_path: Path, seed: int
) -> None:
    oracle, ours = _sandbox(tmp_path / "kernel"), _sandbox(tmp_path / "ours")
    changes = random_changes(seed, 90)
    first, second, third = changes[:30], changes[30:60], changes[60:]
    with oracle.mounted() as merged:
        expected = [result_of(KernelTree(merged), change) for change in changes]

    with ours.engine() as engine:
        results = [result_of(engine, change) for change in first]
    with ours.mounted() as merged:
        results += [result_of(KernelTree(merged), change) for change in second]
    with ours.engine() as engine:
        results += [result_of(engine, change) for change in third]

    assert [r in _PATH_ERRORS or r for r in results] == [
        r in _PATH_ERRORS or r for r in expected
    ]
    with oracle.mounted() as merged:
        oracle_view = view(merged, has_times=False)
    with ours.mounted() as merged:
        assert view(merged, has_times=False) == oracle_view


_PATH_ERRORS = ("ENOENT", "ENOTDIR", "ELOOP", "ENOTSUP")


def _compare(
    root: Path,
    changes: Sequence[Change],
    mount_options: str = "redirect_dir=on",
    *,
    is_path_error_one: bool = False,
    prefix: XattrPrefix = XattrPrefix.TRUSTED,
    **options: object,
) -> None:
    oracle = _sandbox(root / "kernel", mount_options)
    ours = _sandbox(root / "ours", mount_options)
    lowers = [raw_state(path) for path in ours.lowers]
    with oracle.mounted(mount_options) as merged:
        kernel = KernelTree(merged)
        expected = [result_of(kernel, change) for change in changes]

    with ours.engine(prefix, **options) as engine:
        results = [result_of(engine, change) for change in changes]

    if is_path_error_one:
        # Which comes first is up to who walks the path, and that is no union's part.
        results = ["PATH" if r in _PATH_ERRORS else r for r in results]
        expected = ["PATH" if r in _PATH_ERRORS else r for r in expected]
    assert results == expected
    assert [raw_state(path) for path in ours.lowers] == lowers
    # A rename that ext4 refuses has touched the directory all the same.
    has_times = "ENOTEMPTY" not in expected
    with oracle.mounted(mount_options) as merged:
        oracle_view = view(merged, has_times=has_times)
    with ours.mounted(mount_options) as merged:
        assert view(merged, has_times=has_times) == oracle_view
    assert not [n for n in os.listdir(ours.work / "work") if n != "incompat"]
