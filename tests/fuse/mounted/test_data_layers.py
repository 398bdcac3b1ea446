"""Data-only layers (``lowerdir=A::B``): content that metacopy files redirect to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapfs.syscalls import mount, umount2
from support.fuse_mounts import mounted_union
from support.tree_metadata import read_metadata

pytestmark = [pytest.mark.fuse, pytest.mark.root]

CONTENT = b"from afar" * 40_000
MODES = pytest.mark.parametrize("mode", ["fast", "io"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A lower of attributes alone, two layers of data, and what else a mount takes."""
    for name in ("lower", "one/store", "two/store", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "two/store/content").write_bytes(CONTENT)
    (tmp_path / "one/store/small").write_bytes(b"small")
    (tmp_path / "two/store/small").write_bytes(b"not this")
    for name, size in (("content", len(CONTENT)), ("small", 5)):
        path = tmp_path / "lower" / name
        path.touch(mode=0o640)
        os.truncate(path, size)
        os.setxattr(path, "trusted.overlay.metacopy", b"")
        os.setxattr(path, "trusted.overlay.redirect", b"/store/" + name.encode())
    return tmp_path


def _options(home: Path, mode: str) -> tuple[str, ...]:
    return (f"mode={mode}", *(f"datadir+={home / name}" for name in ("one", "two")))


@MODES
def test_files_have_the_content_of_layers_that_are_not_seen(
    home: Path, mode: str
) -> None:
    upper, work, merged = (home / name for name in ("upper", "work", "merged"))
    with mounted_union([home / "lower"], upper, work, merged, _options(home, mode)):
        assert sorted(os.listdir(merged)) == ["content", "small"]
        assert (merged / "content").read_bytes() == CONTENT
        assert (merged / "small").read_bytes() == b"small"
        assert (merged / "small").stat().st_mode & 0o777 == 0o640


@MODES
def test_a_change_copies_the_content_up(home: Path, mode: str) -> None:
    upper, work, merged = (home / name for name in ("upper", "work", "merged"))
    layers = [home / name for name in ("lower", "one", "two")]
    before = [read_metadata(os.fsencode(layer)) for layer in layers]

    with mounted_union([home / "lower"], upper, work, merged, _options(home, mode)):
        with (merged / "content").open("r+b") as file:
            file.write(b"X")
        (merged / "small").chmod(0o600)
        assert (merged / "content").read_bytes() == b"X" + CONTENT[1:]

    assert (upper / "content").read_bytes() == b"X" + CONTENT[1:]
    assert (upper / "small").read_bytes() == b"small"
    assert [read_metadata(os.fsencode(layer)) for layer in layers] == before


def test_the_kernel_shows_the_same(home: Path) -> None:
    merged = home / "merged"
    stack = f"{home / 'lower'}::{home / 'one'}::{home / 'two'}"
    words = f"lowerdir={stack},upperdir={home / 'upper'},workdir={home / 'work'}"
    mount("overlay", merged, "overlay", 0, f"{words},metacopy=on".encode())
    try:
        found = {path.name: path.read_bytes() for path in merged.iterdir()}
    finally:
        umount2(merged)

    assert found == {"content": CONTENT, "small": b"small"}


@MODES
def test_a_file_whose_content_is_nowhere_cannot_be_read(home: Path, mode: str) -> None:
    (home / "two/store/content").unlink()
    upper, work, merged = (home / name for name in ("upper", "work", "merged"))

    with mounted_union([home / "lower"], upper, work, merged, _options(home, mode)):
        with pytest.raises(OSError, match="Input/output error"):
            (merged / "content").read_bytes()
        assert (merged / "small").read_bytes() == b"small"


@MODES
@pytest.mark.parametrize("action", ["read", "copy-up"])
def test_attributes_in_a_block_of_their_own_are_not_taken_for_data(
    home: Path, mode: str, action: str
) -> None:
    """What st_blocks tells of a small file is no proof that it has data."""
    path = home / "lower/small"
    os.setxattr(path, "user.note", b"y" * 300)
    upper, work, merged = (home / name for name in ("upper", "work", "merged"))

    with mounted_union([home / "lower"], upper, work, merged, _options(home, mode)):
        if action == "copy-up":
            (merged / "small").chmod(0o600)
        assert (merged / "small").read_bytes() == b"small"

    if action == "copy-up":
        assert (upper / "small").read_bytes() == b"small"
        assert os.listxattr(upper / "small").count("trusted.overlay.metacopy") == 0
