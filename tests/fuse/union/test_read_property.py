"""Random layer stacks look through the union as through the kernel's overlayfs."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.overlay_format import XattrPrefix, make_whiteout
from support.union_trees import (
    Row,
    mount_rows,
    mounted_overlay,
    opened_union,
    union_rows,
)

pytestmark = pytest.mark.root

Entry: TypeAlias = tuple[str, object]
Tree: TypeAlias = dict[str, Entry]
Rows: TypeAlias = dict[bytes, Row]

_OPAQUE = XattrPrefix.TRUSTED.attribute("opaque")
_REDIRECT = XattrPrefix.TRUSTED.attribute("redirect")
_WHITEOUT = XattrPrefix.TRUSTED.attribute("whiteout")
_NAMES = st.sampled_from(["a", "b", "c", "d"])

_OPAQUE_VALUES = st.sampled_from([None, None, None, b"y", b"x", b"n"])
_REDIRECTS = st.sampled_from(
    [None, None, b"y", b"@a", b"@b", b"@/a/b", b"@/a", b"@/c/d/a"]
)

_leaves = st.one_of(
    st.tuples(st.just("file"), st.sampled_from([b"", b"x", b"data" * 2000])),
    st.tuples(st.just("link"), st.sampled_from(["a", "../b", "nowhere"])),
    st.tuples(st.just("whiteout"), st.none()),
    st.tuples(st.just("xattr whiteout"), st.none()),
    st.tuples(st.just("fifo"), st.none()),
)


def _trees(marks: st.SearchStrategy[bytes | None]) -> st.SearchStrategy[Tree]:
    def directories(children: st.SearchStrategy[Entry]) -> st.SearchStrategy[Entry]:
        below = st.dictionaries(_NAMES, children, max_size=4)
        return st.tuples(st.just("directory"), st.tuples(marks, below))

    return st.dictionaries(
        _NAMES, st.recursive(_leaves, directories, max_leaves=8), max_size=4
    )


def _build(directory: Path, tree: Tree, *, is_upper: bool) -> None:
    for name, (kind, value) in tree.items():
        path = directory / name
        if kind == "file":
            assert isinstance(value, bytes)
            path.write_bytes(value)
        elif kind == "link":
            path.symlink_to(str(value))
        elif kind == "whiteout":
            make_whiteout(bytes(path))
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "xattr whiteout":
            path.touch()
            if not is_upper:  # the kernel hides it there too, but never lists so
                os.setxattr(path, _WHITEOUT, b"")
        else:
            assert isinstance(value, tuple)
            path.mkdir()
            mark, children = value
            if mark is not None and mark[:1] == b"@":
                os.setxattr(path, _REDIRECT, mark[1:])
            elif mark is not None:
                os.setxattr(path, _OPAQUE, mark)
            _build(path, children, is_upper=is_upper)


def _views(
    trees: Sequence[Tree], top: Path, *, has_upper: bool
) -> tuple[Rows, Rows | None, Rows]:
    """Return what the union shows, the kernel, and the union after the kernel.

    Looking around writes origins of merged directories into the upper, by which the
    kernel tells their inode numbers when it lists them the next time. None: it gave
    up, as it does where two redirects lead to one directory.
    """
    layers = [top / f"layer{index}" for index in range(len(trees))]
    for index, (path, tree) in enumerate(zip(layers, trees, strict=True)):
        path.mkdir()
        _build(path, tree, is_upper=has_upper and index == 0)
    upper = layers.pop(0) if has_upper else None
    work = top / "work" if has_upper else None
    with opened_union(layers, upper, work) as union:
        before = union_rows(union)
    expected: Rows | None = None
    for _ in range(2):
        with mounted_overlay(
            layers, top / "merged", upper, work, "redirect_dir=on", "index=off"
        ) as merged:
            try:
                expected = mount_rows(merged)
            except OSError as error:
                if error.errno not in (errno.ESTALE, errno.ELOOP):
                    raise
    with opened_union(layers, upper, work) as union:
        return before, expected, union_rows(union)


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="snapfs-union-"))
    try:
        yield top
    finally:
        shutil.rmtree(top)


@settings(max_examples=60, deadline=None)
@given(
    trees=st.lists(_trees(_OPAQUE_VALUES), min_size=2, max_size=4),
    has_upper=st.booleans(),
)
def test_random_stacks_look_as_the_kernel_shows_them(
    trees: list[Tree], has_upper: bool
) -> None:
    with _temporary() as top:
        before, expected, after = _views(trees, top, has_upper=has_upper)

    assert before == expected
    assert after == expected


@settings(max_examples=60, deadline=None)
@given(
    trees=st.lists(_trees(_REDIRECTS), min_size=2, max_size=4),
    has_upper=st.booleans(),
)
def test_random_redirects_lead_where_the_kernel_goes(
    trees: list[Tree], has_upper: bool
) -> None:
    with _temporary() as top:
        _, expected, after = _views(trees, top, has_upper=has_upper)

    numbers = [row.ino for row in after.values() if stat.S_ISDIR(row.mode)]
    # The kernel shows a directory that two redirects lead to at one of them only.
    if expected is not None and len(numbers) == len(set(numbers)):
        assert after == expected
