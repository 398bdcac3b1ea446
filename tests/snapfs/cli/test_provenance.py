"""Layers are plain directories here; marks are ``user.overlay.*``, for any user."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from snapfs.cli.provenance import OverlayLayers, Role, trace
from snapfs.overlay_format import XattrPrefix, make_whiteout

PREFIX = XattrPrefix.USER


class Layers:
    """Three layers, built name by name: 0 is the upperdir."""

    def __init__(self, parent: Path) -> None:
        self.paths = [parent / name for name in ("upper", "middle", "base")]
        for path in self.paths:
            path.mkdir()

    def file(self, layer: int, name: str) -> Path:
        path = self.paths[layer] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def directory(self, layer: int, name: str, **marks: bytes) -> Path:
        path = self.paths[layer] / name
        path.mkdir(parents=True, exist_ok=True)
        for mark, value in marks.items():
            os.setxattr(path, PREFIX.attribute(mark), value)
        return path

    def whiteout(self, layer: int, name: str) -> None:
        path = self.paths[layer] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_whiteout(str(path))

    def blame(self, path: str) -> list[tuple[int, Role]]:
        directories = tuple(map(str, self.paths))
        found = trace(OverlayLayers(directories, PREFIX), path)
        return [(item.number - 1, item.role) for item in found]


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def test_the_highest_layer_with_a_file_supplies_it(layers: Layers) -> None:
    layers.file(1, "etc/motd")
    layers.file(2, "etc/motd")

    assert layers.blame("etc/motd") == [(1, Role.SUPPLIES)]


def test_a_directory_is_merged_from_every_layer_that_has_it(layers: Layers) -> None:
    layers.directory(0, "etc")
    layers.directory(2, "etc")

    assert layers.blame("etc") == [(0, Role.SUPPLIES), (2, Role.MERGED)]


def test_the_root_is_merged_from_all(layers: Layers) -> None:
    assert layers.blame(".") == [
        (0, Role.SUPPLIES),
        (1, Role.MERGED),
        (2, Role.MERGED),
    ]


def test_a_whiteout_removes_what_lies_below(layers: Layers) -> None:
    layers.whiteout(1, "gone")
    layers.file(2, "gone")

    assert layers.blame("gone") == [(1, Role.REMOVES)]


def test_a_whiteout_of_a_parent_removes_too(layers: Layers) -> None:
    layers.whiteout(0, "etc")
    layers.file(2, "etc/motd")

    assert layers.blame("etc/motd") == [(0, Role.REMOVES)]


def test_a_whiteout_by_attribute_counts_in_lower_layers_only(layers: Layers) -> None:
    for layer in (0, 1):
        mark = layers.file(layer, f"marked-{layer}")
        os.setxattr(mark, PREFIX.attribute("whiteout"), b"y")

    assert layers.blame("marked-1") == [(1, Role.REMOVES)]
    assert layers.blame("marked-0") == [(0, Role.SUPPLIES)]


def test_an_opaque_directory_hides_what_lies_below(layers: Layers) -> None:
    layers.directory(1, "etc", opaque=b"y")
    layers.file(2, "etc/motd")

    assert layers.blame("etc") == [(1, Role.SUPPLIES)]
    assert layers.blame("etc/motd") == []


def test_only_the_value_y_makes_a_directory_opaque(layers: Layers) -> None:
    layers.directory(1, "etc", opaque=b"x")
    layers.file(2, "etc/motd")

    assert layers.blame("etc/motd") == [(2, Role.SUPPLIES)]


def test_a_file_over_a_directory_hides_it(layers: Layers) -> None:
    layers.file(0, "thing")
    layers.file(2, "thing/below")

    assert layers.blame("thing") == [(0, Role.SUPPLIES)]
    assert layers.blame("thing/below") == [(0, Role.HIDES)]


def test_a_directory_over_a_file_is_not_merged_with_it(layers: Layers) -> None:
    layers.directory(0, "thing")
    layers.file(1, "thing")
    layers.directory(2, "thing")

    assert layers.blame("thing") == [(0, Role.SUPPLIES)]


@pytest.mark.parametrize("target", [b"old", b"/a/old"])
def test_a_renamed_directory_is_followed_by_its_redirect(
    layers: Layers, target: bytes
) -> None:
    layers.directory(0, "a/new", redirect=target)
    layers.file(2, "a/old/file")

    assert layers.blame("a/new/file") == [(2, Role.SUPPLIES)]
    assert layers.blame("a/new") == [(0, Role.SUPPLIES), (2, Role.MERGED)]


@pytest.mark.parametrize("target", [b"..", b"/../a/old", b"/a/./old"])
def test_a_redirect_out_of_its_layer_is_refused(layers: Layers, target: bytes) -> None:
    layers.directory(0, "a/new", redirect=target)
    layers.file(2, "a/old/file")

    with pytest.raises(OSError, match="invalid redirect") as caught:
        layers.blame("a/new/file")
    assert caught.value.errno == errno.EACCES


def test_a_file_with_its_metadata_only_has_its_data_below(layers: Layers) -> None:
    mark = layers.file(0, "big")
    os.setxattr(mark, PREFIX.attribute("metacopy"), b"")
    layers.file(2, "big")

    assert layers.blame("big") == [(0, Role.SUPPLIES), (2, Role.DATA)]


def test_what_no_layer_has_has_no_history(layers: Layers) -> None:
    assert layers.blame("nothing") == []


@pytest.mark.parametrize(
    ("options", "directories", "prefix"),
    [
        pytest.param(
            ("rw", "lowerdir=/b:/c", "upperdir=/a", "workdir=/w"),
            ("/a", "/b", "/c"),
            XattrPrefix.TRUSTED,
            id="one option",
        ),
        pytest.param(
            ("ro", "lowerdir+=/b", "lowerdir+=/c:d", "userxattr"),
            ("/b", "/c:d"),
            XattrPrefix.USER,
            id="layer by layer",
        ),
    ],
)
def test_options_of_a_mount_name_its_layers(
    options: tuple[str, ...], directories: tuple[str, ...], prefix: XattrPrefix
) -> None:
    layers = OverlayLayers.from_options(options)

    assert (layers.directories, layers.prefix) == (directories, prefix)


def test_names_that_containerd_shortened_are_made_whole(tmp_path: Path) -> None:
    for name in ("1/fs", "2/fs", "3/fs"):
        (tmp_path / name).mkdir(parents=True)

    layers = OverlayLayers.from_options(
        ("lowerdir=2/fs:1/fs", f"upperdir={tmp_path}/3/fs")
    )

    assert layers.directories == tuple(f"{tmp_path}/{n}/fs" for n in (3, 2, 1))
