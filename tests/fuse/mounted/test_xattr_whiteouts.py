"""Whiteouts of the second form in an upperdir: a file and an attribute.

Nobody has to put one there, and the kernel makes none. Those that are there hide what
they should, as in a kernel mount of the same directories.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from snapfs.syscalls import RENAME_NOREPLACE, renameat2
from support.fuse_mounts import mounted_union
from support.union_kinds import Layers, UnionKind, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.root]

Tree = dict[str, tuple[str, bytes]]


def _hidden(layers: Layers) -> None:
    """Have a whiteout of a file ``d/f``, and a file and a directory beside."""
    (layers.lower / "d").mkdir()
    (layers.upper / "directory").mkdir()
    (layers.lower / "d/f").write_bytes(b"deleted")
    (layers.lower / "g").write_bytes(b"other")
    (layers.upper / "d").mkdir()
    (layers.upper / "d/f").touch()
    os.setxattr(layers.upper / "d/f", "trusted.overlay.whiteout", b"")


@contextlib.contextmanager
def _union(kind: UnionKind, layers: Layers) -> Iterator[Path]:
    if kind is UnionKind.KERNEL:
        with mounted(kind, layers) as merged:
            yield merged
        return
    mode = kind.rpartition("-")[2]
    directories = ([layers.lower], layers.upper, layers.work, layers.merged)
    with mounted_union(*directories, (f"mode={mode}", "redirect_dir=off")):
        yield layers.merged


def _shown(root: Path) -> Tree:
    """Return what is listed: its kind and content; GONE where nothing is found."""
    tree: Tree = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            kind, content = "gone", b""
            with contextlib.suppress(FileNotFoundError):
                kind = oct(path.lstat().st_mode)
                content = path.read_bytes() if path.is_file() else b""
            tree[str(path.relative_to(root))] = (kind, content)
    return tree


def _outcome(action: Callable[[Path], object], merged: Path) -> str:
    try:
        action(merged)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def _create(merged: Path) -> None:
    os.close(os.open(merged / "d/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))


ACTIONS = [
    pytest.param(lambda m: os.stat(m / "d/f"), id="stat"),
    pytest.param(lambda m: os.open(m / "d/f", os.O_RDONLY), id="open"),
    pytest.param(_create, id="create"),
    pytest.param(lambda m: os.mkdir(m / "d/f"), id="mkdir"),
    pytest.param(lambda m: os.symlink("x", m / "d/f"), id="symlink"),
    pytest.param(lambda m: os.link(m / "g", m / "d/f"), id="link"),
    pytest.param(lambda m: os.rename(m / "g", m / "d/f"), id="rename"),
    pytest.param(
        lambda m: renameat2(m / "g", m / "d/f", RENAME_NOREPLACE), id="noreplace"
    ),
    pytest.param(lambda m: os.rename(m / "directory", m / "d/f"), id="rename-dir"),
    pytest.param(lambda m: os.unlink(m / "d/f"), id="unlink"),
    pytest.param(lambda m: os.rmdir(m / "d"), id="rmdir"),
]


@pytest.mark.parametrize("kind", [UnionKind.SNAPFS_FAST, UnionKind.SNAPFS_IO])
@pytest.mark.parametrize("action", ACTIONS)
def test_one_in_an_upper_hides_as_in_the_kernel(
    tmp_path: Path, action: Callable[[Path], object], kind: UnionKind
) -> None:
    if obstacle := kind.obstacle():
        pytest.skip(obstacle)
    found = []
    for number, each in enumerate((UnionKind.KERNEL, kind)):
        layers = Layers.make(tmp_path / str(number))
        _hidden(layers)
        with _union(each, layers) as merged:
            found.append((_outcome(action, merged), _shown(merged)))
        with _union(UnionKind.KERNEL, layers) as merged:
            found.append(("", _shown(merged)))

    assert found[2] == found[0]
    assert found[3] == found[1]


def test_what_it_hides_is_gone(tmp_path: Path) -> None:
    layers = Layers.make(tmp_path / "layers")
    _hidden(layers)

    with _union(UnionKind.SNAPFS_FAST, layers) as merged:
        with pytest.raises(FileNotFoundError):
            (merged / "d/f").read_bytes()
        (merged / "d/f").write_bytes(b"new")
        assert (merged / "d/f").read_bytes() == b"new"

    assert (layers.upper / "d/f").read_bytes() == b"new"
    assert os.listxattr(layers.upper / "d/f") == []
