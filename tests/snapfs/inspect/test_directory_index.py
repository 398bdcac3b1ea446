"""Indexes of directories, which others may have changed or marked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.errors import UnimplementedError
from snapfs.inspect.directory_index import directory_index
from snapfs.inspect.merged import MergedTree
from snapfs.overlay_format import REDIRECT, XattrPrefix, set_opaque

USER = XattrPrefix.USER


def test_a_path_may_be_longer_than_any_that_the_kernel_takes(tmp_path: Path) -> None:
    name = "d" * 250
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # PATH_MAX is 4,096
        os.mkdir(name, dir_fd=at)
        deeper = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)

    index = directory_index(str(tmp_path), USER)

    path = b"/".join([name.encode()] * 20 + [b"file"])
    assert [place.path for place in MergedTree([index]).walk()][-1] == path


def test_a_mark_on_the_directory_itself_hides_nothing(tmp_path: Path) -> None:
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
        (tmp_path / name / "opaque").mkdir()
    (tmp_path / "lower/opaque/below").touch()
    set_opaque(str(tmp_path / "upper"), USER)
    set_opaque(str(tmp_path / "upper/opaque"), USER)

    indexes = [directory_index(str(tmp_path / n), USER) for n in ("lower", "upper")]

    shown = [place.path for place in MergedTree(indexes).walk()]
    assert shown == [b"lower", b"opaque", b"upper"]


def test_attributes_are_those_that_a_container_sees(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.setxattr(file, "user.overlay.overlay.opaque", b"y")
    os.setxattr(file, "user.overlay.origin", b"")
    os.setxattr(file, "user.own", b"value")

    index = directory_index(str(tmp_path), USER)

    node = index.lookup(b"file")
    assert node is not None
    assert index.xattrs(node) == {b"user.overlay.opaque": b"y", b"user.own": b"value"}


def test_a_redirect_is_refused_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    os.setxattr(tmp_path / "a/b", USER.attribute(REDIRECT), b"c")

    with pytest.raises(UnimplementedError) as caught:
        directory_index(str(tmp_path), USER)

    assert str(tmp_path / "a/b") in str(caught.value)
