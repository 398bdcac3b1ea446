"""Filesystems of a test's own, mounted where it says and gone when it is over."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from snapfs import mountinfo

MKFS: Final = "/sbin/mkfs.ext4"
_IMAGE_BYTES: Final = 8 << 20
_CHUNKS: Final = (1 << 20, 4096, 1)  # the last bytes of the last block too


@contextlib.contextmanager
def mounted(target: Path, *words: str | Path) -> Iterator[Path]:
    """Mount by ``mount WORDS... TARGET``; yield ``target``, a new directory."""
    target.mkdir()
    subprocess.run(["mount", *words, target], check=True)
    try:
        yield target
    finally:
        # Lazily: where a test failed, a process may still have it open.
        subprocess.run(["umount", "--lazy", target], check=True)


@contextlib.contextmanager
def small_disk(target: Path, size: str = "4m") -> Iterator[Path]:
    """Mount a filesystem that is soon full."""
    with mounted(target, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield target


@contextlib.contextmanager
def untyped_disk(target: Path) -> Iterator[Path]:
    """Mount a filesystem whose listings give no file types (d_type)."""
    image = _ext4_image(target, "-O", "^filetype,^has_journal")
    with mounted(target, "-o", "loop", image):
        yield target


@contextlib.contextmanager
def inlining_disk(target: Path) -> Iterator[Path]:
    """Mount a filesystem that keeps the content of tiny files in their inodes."""
    image = _ext4_image(target, "-I", "256", "-O", "inline_data")
    with mounted(target, "-o", "loop", image):
        yield target


@contextlib.contextmanager
def failing_disk(target: Path) -> Iterator[Callable[[], object]]:
    """Mount a disk that becomes read-only, for good, when the yielded is called.

    That is how ext4 answers an error of the device (``errors=remount-ro``).
    """
    image = _ext4_image(target)
    with mounted(target, "-o", "loop,errors=remount-ro", image):
        entry = mountinfo.find(str(target))
        assert entry is not None
        trigger = Path("/sys/fs/ext4", Path(entry.source).name, "trigger_fs_error")
        if not trigger.exists():
            pytest.skip(f"this kernel has no {trigger.name}")
        yield lambda: trigger.write_text("1")


def _ext4_image(target: Path, *options: str) -> Path:
    """Make a small filesystem in a file beside ``target``."""
    if not os.path.exists(MKFS):
        pytest.skip(f"needs {MKFS}")
    image = target.with_name(f"{target.name}.image")
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    subprocess.run([MKFS, "-q", *options, image], check=True)
    return image


@contextlib.contextmanager
def overlay_disk(target: Path) -> Iterator[Path]:
    """Mount an overlay, in which no store can be."""
    places = [target.with_name(f"{target.name}.{part}") for part in ("l", "u", "w")]
    for place in places:
        place.mkdir()
    lower, upper, work = places
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    with mounted(target, "-t", "overlay", "-o", options, "overlay"):
        yield target


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no byte free on ``disk`` while the block runs."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in _CHUNKS:
            with contextlib.suppress(OSError):  # ENOSPC: that was the aim
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nothing be written to ``disk`` while the block runs."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
