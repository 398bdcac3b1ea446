"""Layers with a ``dirindex``: the same tree as from the disk, without reading it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from snapfs.layer.dirindex_build import write_dirindex
from snapfs.overlay_format import XattrPrefix, set_opaque
from snapfs.syscalls import MNT_DETACH, mount, umount2
from support.applied_layers import opened
from support.fuse_mounts import mounted_union

pytestmark = [pytest.mark.fuse, pytest.mark.root]

# Of each name all that READDIRPLUS brings, but for access and change times.
SHOWN = r"%P\t%y\t%m\t%U:%G\t%s\t%b\t%i\t%n\t%T@\t%l\n"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    found = tmp_path / "upper", tmp_path / "work", tmp_path / "merged"
    for path in found:
        path.mkdir()
    return found


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three layers, highest first, of whatever a layer can hold; all with an index."""
    found = [tmp_path / name / "fs" for name in ("30", "20", "10")]
    top, middle, low = found
    for layer in found:
        (layer / "shared" / "deep").mkdir(parents=True)
        (layer / "shared" / f"of-{layer.parent.name}").write_bytes(b"x" * 300)
        (layer / "shared" / "in-all").write_text(layer.parent.name)
    (low / "gone").write_text("deleted above")
    (middle / "hidden").mkdir()
    (low / "hidden").mkdir()
    (low / "hidden" / "below").touch()
    (middle / "hidden" / "own").touch()
    set_opaque(str(middle / "hidden"), XattrPrefix.TRUSTED)
    os.mknod(top / "gone", stat.S_IFCHR, 0)
    (low / "one").write_bytes(b"1" * 5000)
    os.link(low / "one", low / "two")
    (top / "link").symlink_to("shared/in-all")
    os.mkfifo(middle / "fifo", 0o620)
    os.mknod(middle / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (low / ("n" * 255)).touch()
    (low / "old").touch()
    os.utime(low / "old", ns=(0, -1_500_000_000))
    (low / "owned").touch()
    os.chown(low / "owned", 1234, 5678)
    os.chmod(low / "owned", 0o6755)
    (low / "capable").touch()
    os.setxattr(low / "capable", "user.mine", b"1")
    (low / "few").mkdir()
    (low / "few" / "file").touch()
    many = low / "many"
    many.mkdir()
    for number in range(700):
        (many / f"file-{number}").write_bytes(b"y" * number)
    for layer in found:
        write_index(layer)
    return found


def write_index(layer: Path) -> None:
    with opened(layer.parent) as directory, opened(layer) as root:
        assert write_dirindex(directory, root, XattrPrefix.TRUSTED)


@contextlib.contextmanager
def kernel_overlay(
    layers: Sequence[Path], upper: Path, work: Path, merged: Path
) -> Iterator[None]:
    words = f"lowerdir={':'.join(map(str, layers))},upperdir={upper},workdir={work}"
    mount("overlay", merged, "overlay", 0, f"{words},xino=off,index=off".encode())
    try:
        yield
    finally:
        umount2(merged, MNT_DETACH)


def shown(tree: Path) -> list[bytes]:
    found = subprocess.run(
        ["find", tree, "-printf", SHOWN], capture_output=True, check=True
    )
    return sorted(found.stdout.splitlines())


@pytest.mark.parametrize("mode", ["fast", "io"])
def test_a_tree_looks_as_on_kernel_overlayfs(
    layers: list[Path], places: tuple[Path, Path, Path], mode: str
) -> None:
    upper, work, merged = places
    with kernel_overlay(layers, upper, work, merged):
        expected = shown(merged)

    with mounted_union(layers, upper, work, merged, [f"mode={mode}"]):
        first, again = shown(merged), shown(merged)
        contents = [(merged / name).read_bytes() for name in ("one", "two", "link")]

    assert first == again == expected
    assert contents == [b"1" * 5000, b"1" * 5000, b"30"]


def test_the_disk_is_not_asked_for_what_the_index_knows(
    layers: list[Path], places: tuple[Path, Path, Path]
) -> None:
    # A layer never changes; that this one does shows where the attributes are from.
    (layers[2] / "few" / "file").write_bytes(b"content")
    (layers[2] / "few" / "new").touch()

    with mounted_union(layers, *places) as union:
        names = os.listdir(union.mountpoint / "few")
        size = (union.mountpoint / "few" / "file").stat().st_size

    assert (names, size) == (["file"], 0)


def _by_others(layer: Path) -> None:
    os.chmod(layer.parent / "dirindex", 0o664)


def _owned(layer: Path) -> None:
    os.chown(layer.parent / "dirindex", 1000, 1000)


def _damaged(layer: Path) -> None:
    path = layer.parent / "dirindex"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _of_another(layer: Path) -> None:
    shutil.copytree(layer, layer.parent / "copy", symlinks=True)
    layer.rename(layer.parent / "former")
    (layer.parent / "copy").rename(layer)


def _a_pipe(layer: Path) -> None:
    (layer.parent / "dirindex").unlink()
    os.mkfifo(layer.parent / "dirindex")


@pytest.mark.parametrize(
    "spoil",
    [_by_others, _owned, _damaged, _of_another, _a_pipe],
    ids=lambda f: f.__name__,
)
def test_an_index_that_gives_rise_to_doubt_counts_for_nothing(
    tmp_path: Path, places: tuple[Path, Path, Path], spoil: Callable[[Path], None]
) -> None:
    layer = tmp_path / "10" / "fs"
    layer.mkdir(parents=True)
    for number in range(50):
        (layer / f"{number}").touch()
    write_index(layer)
    spoil(layer)
    (layer / "7").write_bytes(b"changed")

    with mounted_union([layer], *places) as union:
        os.listdir(union.mountpoint)
        size = (union.mountpoint / "7").stat().st_size

    assert size == len(b"changed")


@pytest.mark.parametrize(
    "options", [["squash_to_uid=77", "squash_to_gid=78"], ["uidmapping=0:500:1"]]
)
def test_owners_are_shown_as_the_mount_says(
    layers: list[Path], places: tuple[Path, Path, Path], options: Sequence[str]
) -> None:
    with mounted_union(layers, *places, options) as union:
        os.listdir(union.mountpoint / "many")
        uid = (union.mountpoint / "many" / "file-1").stat().st_uid

    assert uid in (77, 500)


def test_changes_are_seen_in_what_was_listed(
    layers: list[Path], places: tuple[Path, Path, Path]
) -> None:
    upper, work, merged = places
    changed = merged / "many"

    def change(tree: Path) -> None:
        with (tree / "file-3").open("ab") as file:
            file.write(b"more")
        (tree / "file-4").unlink()
        (tree / "file-5").rename(tree / "renamed")
        (tree / "file-6").chmod(0o600)
        (tree / "file-8").unlink()
        (tree / "file-8").write_bytes(b"another")
        (tree / "new").touch()

    def facts(tree: Path) -> dict[str, tuple[int, int, int]]:
        with os.scandir(tree) as entries:
            statuses = {entry.name: entry.stat() for entry in entries}
        return {
            name: (status.st_mode, status.st_size, status.st_nlink)
            for name, status in statuses.items()
        }

    with mounted_union(layers, upper, work, merged):
        before = facts(changed)
        change(changed)
        live = facts(changed)
    with mounted_union(layers, upper, work, merged):
        remounted = facts(changed)
    with kernel_overlay(layers, upper, work, merged):
        expected = facts(changed)

    assert len(before) == 700
    assert live == remounted == expected
