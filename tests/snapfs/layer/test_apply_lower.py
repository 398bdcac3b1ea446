"""What a layer takes from those below: implied directories and linked files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from snapfs.errors import SnapfsError, UnsafeLayerError
from support.applied_layers import (
    apply_items,
    directory,
    entry,
    hard_link,
    settle,
    symlink,
)
from support.layer_stacks import LayerStack

OTHERS = (1234, 5678)

pytestmark = pytest.mark.root


def look(path: Path) -> tuple[int, int, int, int, dict[str, bytes]]:
    """Return mode, owner, group, mtime and xattrs."""
    status = path.lstat()
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
    }
    mode = stat.S_IMODE(status.st_mode)
    return mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs


def test_implied_directories_look_like_the_merged_ones(tmp_path: Path) -> None:
    low, mid, high = (tmp_path / name for name in ("low", "mid", "high"))
    note = {"user.note": b"1"}
    apply_items(
        low,
        directory("./", 0o711, mtime=3),
        directory("a", 0o700, mtime=4),
        directory("a/b", 0o2771, owner=OTHERS, mtime=5, xattrs=note),
    )
    mid_applied = apply_items(mid, directory("a", 0o750, mtime=6))
    settle(mid, mid_applied, low)
    applied = apply_items(high, entry("a/b/c/f", b"x"))

    settle(high, applied, mid, low)

    assert look(high) == (0o711, 0, 0, 3 * 10**9, {})
    assert look(high / "a") == look(mid / "a") == (0o750, 0, 0, 6 * 10**9, {})
    assert look(high / "a/b") == (0o2771, *OTHERS, 5 * 10**9, note)
    assert look(high / "a/b/c")[:3] == (0o755, 0, 0)


def test_hidden_directories_lend_nothing(tmp_path: Path) -> None:
    low, mid, high = (tmp_path / name for name in ("low", "mid", "high"))
    for name in ("white", "opaque/in", "mine", "shadowed"):
        (low / name).mkdir(parents=True)
        (low / name).chmod(0o711)
    apply_items(
        mid,
        entry(".wh.white"),
        directory("opaque"),
        entry("opaque/.wh..wh..opq"),
        symlink("shadowed", "white"),
    )
    applied = apply_items(
        high,
        entry("white/f"),
        entry("opaque/in/f"),
        entry(".wh.mine"),
        entry("mine/f"),
        entry("shadowed/f"),
    )

    settle(high, applied, mid, low)

    for name in ("white", "opaque/in", "mine", "shadowed"):
        assert look(high / name)[0] == 0o755, name


def test_the_key_tells_whether_lower_layers_lend_the_same(tmp_path: Path) -> None:
    modes = {"one": 0o700, "same": 0o700, "other": 0o711}
    for name, mode in modes.items():
        apply_items(
            tmp_path / name, directory("./"), directory("d", mode), entry(f"d/{name}")
        )
    layer = tmp_path / "layer"
    applied = apply_items(layer, entry("d/f"))
    none = tmp_path / "none"
    none.mkdir()

    keys = {name: settle(layer, applied, tmp_path / name) for name in (*modes, "none")}

    assert keys["one"] == keys["same"]
    assert len({keys["one"], keys["other"], keys["none"]}) == 3


def test_links_to_lower_files_become_copies(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    body = os.urandom(3 << 20)
    xattrs = {"user.note": b"1"}
    apply_items(
        low,
        directory("./"),
        entry("bin/f", body, mode=0o4750, owner=OTHERS, mtime=9, xattrs=xattrs),
        symlink("bin/l", "f", owner=OTHERS, mtime=8),
    )
    applied = apply_items(
        high,
        directory("./"),
        directory("locked", 0o500, mtime=7),
        hard_link("locked/one", "bin/f"),
        hard_link("two", "/bin/f"),
        hard_link("three", "two"),
        hard_link("link", "bin/l"),
    )

    key = settle(high, applied, low)

    assert key is None
    assert look(high / "locked/one") == look(low / "bin/f")
    assert (high / "two").read_bytes() == body
    inodes = {(high / n).stat().st_ino for n in ("locked/one", "two", "three")}
    assert len(inodes) == 1
    assert look(high / "locked")[::3] == (0o500, 7 * 10**9)
    assert os.readlink(high / "link") == "f"
    assert look(high / "link") == look(low / "bin/l")


def test_copies_of_sparse_files_stay_sparse(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    low.mkdir()
    with (low / "holes").open("wb") as file:
        os.pwrite(file.fileno(), b"x", 5 << 20)
        file.truncate(64 << 20)
    applied = apply_items(high, hard_link("copy", "holes"))

    settle(high, applied, low)

    assert (high / "copy").stat().st_size == 64 << 20
    assert (high / "copy").stat().st_blocks * 512 < 1 << 20
    assert (high / "copy").read_bytes() == (low / "holes").read_bytes()


@pytest.mark.parametrize("hidden", [False, True], ids=["missing", "whiteout"])
def test_a_link_to_nothing_is_an_error_that_names_both(
    tmp_path: Path, hidden: bool
) -> None:
    low, mid, high = (tmp_path / name for name in ("low", "mid", "high"))
    apply_items(low, *([entry("file")] if hidden else []))
    apply_items(mid, *([entry(".wh.file")] if hidden else []))
    applied = apply_items(high, hard_link("link", "file"))

    with pytest.raises(UnsafeLayerError, match=r"'link' links to 'file'"):
        settle(high, applied, mid, low)


def test_a_link_to_a_directory_below_is_refused(tmp_path: Path) -> None:
    apply_items(tmp_path / "low", directory("d"))
    applied = apply_items(tmp_path / "high", hard_link("link", "d"))

    with pytest.raises(UnsafeLayerError, match="directory"):
        settle(tmp_path / "high", applied, tmp_path / "low")


def test_what_a_mount_renamed_below_is_found(tmp_path: Path) -> None:
    stack = LayerStack(tmp_path / "stack", "redirect_dir=on,metacopy=on")
    low = stack.add()
    (low / "d/e").mkdir(parents=True)
    (low / "d/e/file").write_bytes(b"content")
    (low / "d/e").chmod(0o700)
    with stack.written() as merged:
        (merged / "d").rename(merged / "moved")
        (merged / "moved/e/file").chmod(0o600)
    applied = apply_items(
        tmp_path / "high", entry("moved/e/f"), hard_link("link", "moved/e/file")
    )

    settle(tmp_path / "high", applied, *stack.chain())

    with stack.shown(stack.chain()) as merged:
        assert look(tmp_path / "high/moved/e")[0] == 0o700
        assert look(tmp_path / "high/link") == look(merged / "moved/e/file")
    assert (tmp_path / "high/link").read_bytes() == b"content"


def test_a_mark_below_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    (low / "d").mkdir(parents=True)
    (tmp_path / "lowest").mkdir()
    os.setxattr(low / "d", "trusted.overlay.redirect", b"neither/path/nor/name")
    applied = apply_items(high, entry("d/f"))

    with pytest.raises(SnapfsError, match=r"'d'.*invalid redirect"):
        settle(high, applied, low, tmp_path / "lowest")
