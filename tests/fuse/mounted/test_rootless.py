"""A union of a user without privileges: everything is changed, removed, kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.fuse_users import AS_NOBODY, OPEN_DEVICE
from support.sandbox import REPOSITORY
from support.unprivileged import NOBODY, _open_interpreter

pytestmark = [pytest.mark.fuse, pytest.mark.root]

NAMES = ("device", "lower", "upper", "work", "merged")

SCRIPT = """
cd "$1"
shift
options="lowerdir=lower,upperdir=upper,workdir=work"
mounted() { grep -c " $PWD/merged fuse.snapfs-fuse " /proc/mounts || true; }
"$@" -o "$options" merged
cd merged
echo more >>file                      # a copy up
chmod 600 large
ln file second
mkdir -p tree/new/deep
rm -rf tree                           # whiteouts, and a directory made anew
mkdir tree
echo mine >tree/mine
mv gone there
ln -s there link
rmdir empty
mkfifo fifo
! mknod device c 1 3 2>/dev/null
! chown 0 file 2>/dev/null
cd ..
"$UNMOUNT" merged
test "$(mounted)" = 0
"$@" -o "$options" merged
cat merged/file merged/second merged/tree/mine merged/link
ls merged
stat -c '%a %s' merged/large
rm -rf merged/*
ls -A merged
"$UNMOUNT" merged
rm -rf upper/* work/*
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Layers that belong to nobody, where everybody gets."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as made:
        directory = Path(made)
        directory.chmod(0o755)
        for name in NAMES:
            (directory / name).mkdir()
        lower = directory / "lower"
        (lower / "file").write_text("lower\n")
        (lower / "gone").write_text("gone\n")
        (lower / "large").write_bytes(bytes(3 << 20))
        (lower / "tree" / "deep").mkdir(parents=True)
        (lower / "tree" / "deep" / "leaf").write_text("leaf")
        (lower / "empty").mkdir()
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        yield directory


def run(home: Path, *before: str, unmount: str) -> subprocess.CompletedProcess[str]:
    helper = (_open_interpreter(), "-P", "-m", "snapfs.fuse.helper")
    return subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", OPEN_DEVICE, "sh", home / "device"),
            *before,
            *("sh", "-ec", SCRIPT, "sh", home, *helper),
        ],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "UNMOUNT": unmount,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("before", "unmount"),
    [
        pytest.param(
            [word for word in AS_NOBODY if "bounding" not in word],
            "fusermount3 -u",
            id="fusermount3",
        ),
        pytest.param(
            [*AS_NOBODY, "unshare", "--user", "--map-root-user", "--mount"],
            "umount",
            id="user-namespace",
        ),
    ],
)
def test_a_user_without_privileges_changes_a_union(
    home: Path, before: Sequence[str], unmount: str
) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv(1)")
    script = home / "unmount"
    script.write_text(f'#!/bin/sh\nexec {unmount} "$1"\n')
    script.chmod(0o755)
    lower = sorted(path.name for path in (home / "lower").rglob("*"))

    done = run(home, *before, unmount=str(script))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "lower\nmore\nlower\nmore\nmine\ngone\n"
        "fifo\nfile\nlarge\nlink\nsecond\nthere\ntree\n"
        "600 3145728\n"
    )
    assert sorted(path.name for path in (home / "lower").rglob("*")) == lower
    assert os.listdir(home / "upper") == []
