"""Uppers that the kernel wrote are read as the kernel reads them, also as lowers."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.fuse.union.node import Directory
from support.union_trees import (
    failure_of,
    mount_rows,
    mounted_overlay,
    opened_union,
    union_row,
    union_rows,
)

pytestmark = pytest.mark.root

_KERNEL = ("redirect_dir=on", "metacopy=on", "index=off")


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    root = tmp_path / "lower"
    for path in ("top/sub/deep", "other", "plain", "pair"):
        (root / path).mkdir(parents=True)
    (root / "top/file").write_bytes(b"top file" * 1000)
    (root / "top/sub/small").write_bytes(b"s")
    (root / "top/sub/deep/big").write_bytes(os.urandom(300_000))
    (root / "top/sub/deep/empty").touch()
    (root / "other/file").write_bytes(b"other file")
    (root / "plain/file").write_bytes(b"plain file")
    (root / "pair/one").write_bytes(b"linked" * 2000)
    os.link(root / "pair/one", root / "pair/two")
    return root


def _chmod_all(merged: Path) -> None:
    for path in sorted(merged.rglob("*")):
        path.chmod(0o751 if path.is_dir() else 0o640)


def _rename_directories(merged: Path) -> None:
    (merged / "top").rename(merged / "renamed")
    (merged / "renamed/sub").rename(merged / "renamed/under")
    (merged / "renamed/under/deep").rename(merged / "other/moved")
    (merged / "plain").rename(merged / "renamed/under/plain")


def _rename_metacopies(merged: Path) -> None:
    _chmod_all(merged)
    (merged / "top/file").rename(merged / "plain/file2")
    (merged / "top/sub/small").rename(merged / "top/sub/small2")
    os.link(merged / "other/file", merged / "plain/linked")
    (merged / "top/sub").rename(merged / "sub")


def _recreate(merged: Path) -> None:
    (merged / "top").rename(merged / "gone")
    (merged / "top").mkdir()
    (merged / "top/file").write_bytes(b"new")
    (merged / "other/file").unlink()
    (merged / "other/file").mkdir()
    (merged / "plain/file").unlink()
    (merged / "plain").rmdir()


def _hard_links(merged: Path) -> None:
    (merged / "pair/one").chmod(0o600)
    (merged / "pair/two").chmod(0o400)
    (merged / "pair/one").rename(merged / "other/one")
    new = merged / "pure"
    new.mkdir()
    (merged / "pair/two").rename(new / "two")


_CHANGES = [
    _chmod_all,
    _rename_directories,
    _rename_metacopies,
    _recreate,
    _hard_links,
]


@pytest.mark.parametrize("change", _CHANGES)
def test_what_the_kernel_wrote_is_read_as_upper(
    tmp_path: Path, lower: Path, change: Callable[[Path], None]
) -> None:
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    upper.mkdir()
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        change(merged)
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        mount_rows(merged)
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        expected = mount_rows(merged)

    with opened_union([lower], upper, work) as union:
        assert union_rows(union) == expected


@pytest.mark.parametrize("second", _CHANGES)
@pytest.mark.parametrize("first", _CHANGES)
def test_what_the_kernel_wrote_is_read_as_lower(
    tmp_path: Path,
    lower: Path,
    first: Callable[[Path], None],
    second: Callable[[Path], None],
) -> None:
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    upper.mkdir()
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        first(merged)
    top, top_work = tmp_path / "top", tmp_path / "top work"
    top.mkdir()
    with (
        mounted_overlay([upper, lower], merged, top, top_work, *_KERNEL),
        contextlib.suppress(OSError),  # the first left it less to change
    ):
        second(merged)
    for _ in range(2):
        with mounted_overlay([top, upper, lower], merged, None, None, *_KERNEL):
            expected = mount_rows(merged)

    with opened_union([top, upper, lower]) as union:
        assert union_rows(union) == expected


def test_data_only_layers_complete_metacopies_of_absolute_redirects(
    tmp_path: Path, lower: Path
) -> None:
    data = tmp_path / "data"
    (data / "store").mkdir(parents=True)
    (data / "store/content").write_bytes(b"from afar" * 10_000)
    (data / "invisible").touch()
    (lower / "remote").touch()
    os.truncate(lower / "remote", 90_000)
    os.setxattr(lower / "remote", "trusted.overlay.metacopy", b"")
    os.setxattr(lower / "remote", "trusted.overlay.redirect", b"/store/content")
    upper = tmp_path / "second"
    upper.mkdir()
    with mounted_overlay(
        [upper, lower], tmp_path / "merged", None, None, *_KERNEL, data=[data]
    ) as merged:
        expected = mount_rows(merged)

    with opened_union([upper, lower], data=[data]) as union:
        rows = union_rows(union)

    assert rows[b"remote"].content == b"from afar" * 10_000
    assert rows == expected


@pytest.mark.parametrize(
    ("mark", "value", "code"),
    [
        pytest.param("redirect", b"", errno.EINVAL, id="empty redirect"),
        pytest.param("redirect", b"a/b", errno.EINVAL, id="relative path"),
        pytest.param("redirect", b"/a//b", errno.EINVAL, id="empty component"),
        pytest.param("redirect", b"/a/", errno.EINVAL, id="trailing slash"),
        pytest.param("redirect", b"..", errno.EACCES, id="out of the layer"),
        pytest.param("redirect", b"/top/../..", errno.EACCES, id="out by a path"),
    ],
)
def test_redirects_that_make_no_sense_are_refused(
    tmp_path: Path, lower: Path, mark: str, value: bytes, code: int
) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    (upper / "top").mkdir(parents=True)
    os.setxattr(upper / "top", f"trusted.overlay.{mark}", value)
    merged = tmp_path / "merged"
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        kernel = failure_of(os.lstat, merged / "top")
    with opened_union([lower], upper, work) as union:
        ours = failure_of(union.lookup, union.nodes.root, b"top")

    assert ours == kernel == code


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(b"\1\4\0\0", errno.EIO, id="unknown version"),
        pytest.param(b"\0\5\0\0", errno.EIO, id="wrong length"),
    ],
)
def test_unknown_metacopies_are_refused(
    tmp_path: Path, lower: Path, value: bytes, code: int
) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    (upper / "other").mkdir(parents=True)
    (upper / "other/file").touch()
    os.truncate(upper / "other/file", 10)
    os.setxattr(upper / "other/file", "trusted.overlay.metacopy", value)

    with opened_union([lower], upper, work) as union:
        other = union.lookup(union.nodes.root, b"other")
        assert isinstance(other, Directory)
        ours = failure_of(union.lookup, other, b"file")

    assert ours == code


def test_a_metacopy_without_data_is_an_error(tmp_path: Path, lower: Path) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    (upper / "alone").touch()
    os.truncate(upper / "alone", 10)
    os.setxattr(upper / "alone", "trusted.overlay.metacopy", b"")

    with opened_union([lower], upper, work) as union:
        ours = failure_of(union.lookup, union.nodes.root, b"alone")

    assert ours == errno.EIO


def test_what_may_not_be_followed_is_refused_by_name(
    tmp_path: Path, lower: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    upper.mkdir()
    with mounted_overlay([lower], merged, upper, work, *_KERNEL):
        (merged / "plain").rename(merged / "renamed")
        (merged / "other/file").chmod(0o600)

    with opened_union(
        [lower], upper, work, follow_redirects=False, follow_metacopy=False
    ) as union:
        root = union.nodes.root
        with pytest.raises(PermissionError):
            union.lookup(root, b"renamed")
        other = union.lookup(root, b"other")
        assert isinstance(other, Directory)
        with pytest.raises(PermissionError):
            union.lookup(other, b"file")

    assert "redirect is not followed: b'renamed'" in caplog.text
    assert "metacopy is not followed: b'file'" in caplog.text


def test_opaque_parents_do_not_stop_an_absolute_redirect(tmp_path: Path) -> None:
    # xfstests overlay/057: the redirect restarts from the roots of the layers.
    lower, middle, upper = (tmp_path / name for name in ("lower", "middle", "upper"))
    (lower / "origin").mkdir(parents=True)
    (lower / "origin/file").write_bytes(b"found")
    (middle / "opaque/moved").mkdir(parents=True)
    upper.mkdir()
    os.setxattr(middle / "opaque", "trusted.overlay.opaque", b"y")
    os.setxattr(middle / "opaque/moved", "trusted.overlay.redirect", b"/origin")
    work, merged = tmp_path / "work", tmp_path / "merged"
    with mounted_overlay([middle, lower], merged, upper, work, *_KERNEL):
        expected = mount_rows(merged)

    with opened_union([middle, lower], upper, work) as union:
        rows = union_rows(union)

    assert rows == expected
    assert rows[b"opaque/moved/file"].content == b"found"


def test_a_copied_up_file_keeps_its_inode_number(tmp_path: Path, lower: Path) -> None:
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    upper.mkdir()
    with mounted_overlay([lower], merged, upper, work):
        (merged / "top/file").write_bytes(b"changed")

    with opened_union([lower], upper, work) as union:
        top = union.lookup(union.nodes.root, b"top")
        assert isinstance(top, Directory)
        node = union.lookup(top, b"file")
        assert node is not None
        assert union_row(union, node).content == b"changed"

    assert node.layer == 0
    assert node.ino == os.lstat(lower / "top/file").st_ino
