"""The union under older protocols, as older kernels would speak them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.syscalls import MNT_DETACH, umount2
from support.fuse_mounts import helper_environment, union_options

pytestmark = [pytest.mark.fuse, pytest.mark.root]

LARGE = os.urandom(1 << 20) * 3

# Runs the helper with a lower minor in its wishes.
PROGRAM = """
import dataclasses
import sys
from snapfs.fuse import serving
from snapfs.fuse.helper.main import main

minor = int(sys.argv.pop(1))
wishes_of = serving.wishes_of
serving.wishes_of = lambda *of: dataclasses.replace(wishes_of(*of), minor=minor)
sys.exit(main())
"""


def change_everything(merged: Path) -> None:
    (merged / "file").write_bytes(b"changed")
    (merged / "large").chmod(0o640)
    (merged / "new").write_bytes(LARGE)
    os.mkdir(merged / "directory")
    os.symlink("new", merged / "link")
    os.link(merged / "new", merged / "second")
    os.rename(merged / "tree", merged / "moved")
    os.unlink(merged / "gone")
    os.setxattr(merged / "file", "user.name", b"value")
    os.truncate(merged / "large", 5000)
    os.utime(merged / "new", ns=(1, 2))
    with (merged / "large").open("r+b") as file:
        file.seek(100_000)
        file.write(b"end")
        os.fsync(file.fileno())


def assert_changed(merged: Path) -> None:
    assert sorted(os.listdir(merged)) == [
        *("directory", "file", "large", "link", "moved", "new", "second")
    ]
    assert (merged / "file").read_bytes() == b"changed"
    assert (merged / "link").read_bytes() == LARGE
    assert (merged / "moved" / "leaf").read_bytes() == b"leaf"
    assert os.getxattr(merged / "file", "user.name") == b"value"
    assert os.listxattr(merged / "file") == ["user.name"]
    assert (merged / "new").stat().st_mtime_ns == 2
    assert (merged / "new").stat().st_nlink == 2
    large = (merged / "large").read_bytes()
    assert large == LARGE[:5000] + bytes(95_000) + b"end"
    assert (merged / "large").stat().st_mode & 0o777 == 0o640
    assert os.statvfs(merged).f_namemax == 255


@pytest.mark.parametrize(
    ("minor", "mode"),
    # Passthrough came with 7.40.
    [(31, "fast"), (36, "fast"), (40, "fast"), (40, "io")],
)
def test_everything_works_with_an_older_minor(
    tmp_path: Path, minor: int, mode: str
) -> None:
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    (lower / "file").write_bytes(b"lower")
    (lower / "gone").write_bytes(b"gone")
    (lower / "large").write_bytes(LARGE)
    (lower / "tree").mkdir()
    (lower / "tree" / "leaf").write_bytes(b"leaf")
    options = union_options([lower], upper, work, [f"mode={mode}"])
    words = [sys.executable, "-c", PROGRAM, str(minor), "-o", options, "x", str(merged)]

    for step in (change_everything, assert_changed):
        done = subprocess.run(words, env=helper_environment(), check=False)
        assert done.returncode == 0
        try:
            step(merged)
            assert_changed(merged)
        finally:
            umount2(merged, MNT_DETACH)
