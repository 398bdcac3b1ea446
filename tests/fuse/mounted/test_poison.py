"""A request at which every server dies: it alone fails, and the mount goes on."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from snapfs.fuse.control import read_statistics
from support.fuse_mounts import mounted_union

pytestmark = [pytest.mark.fuse, pytest.mark.root]

# A server whose removal of directories ends in a fatal signal, or in an exception that
# no handler foresees.
PROGRAM = """
import os, signal, sys
from snapfs.fuse.union.remove import Remover

way = sys.argv.pop(1)

def die(*_):
    if way == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    raise SystemExit("a mistake")

Remover.remove_directory = die
from snapfs.fuse.helper.main import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("signal", ("SIGSEGV", "most recent call first")),
        ("exit", ("status 70", "a mistake")),
    ],
)
def test_it_is_answered_eio(tmp_path: Path, way: str, words: tuple[str, ...]) -> None:
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    (tmp_path / "program").write_text(PROGRAM)
    program = (sys.executable, str(tmp_path / "program"), way)

    with pytest.raises(RuntimeError, match="another one goes on"):  # it complains
        _be_poisoned(lower, upper, work, merged, program, words)

    assert os.listdir(work / "work") == []


def _be_poisoned(
    lower: Path,
    upper: Path,
    work: Path,
    merged: Path,
    program: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    with mounted_union([lower], upper, work, merged, program=program):
        (merged / "directory").mkdir()

        with pytest.raises(OSError, match=f"Errno {5}"):
            (merged / "directory").rmdir()

        (merged / "file").write_text("x")
        assert sorted(os.listdir(merged)) == ["directory", "file"]
        device = os.stat(merged).st_dev
        found = read_statistics(f"{os.major(device)}:{os.minor(device)}")
        assert found["restarts"] == 3
        for word in words:
            assert word in str(found["last_death"])


def test_servers_that_cannot_begin_end_the_mount(tmp_path: Path) -> None:
    lower, merged = tmp_path / "lower", tmp_path / "merged"
    for path in (lower, merged):
        path.mkdir()
    (tmp_path / "program").write_text(
        "import sys\n"
        "from snapfs.fuse.server import Server\n"
        "def run(self): raise ValueError('cannot begin')\n"
        "Server.run = run\n"
        "from snapfs.fuse import keeper\n"
        "keeper._PAUSE_S = 0\n"
        "from snapfs.fuse.helper.main import main\n"
        "sys.exit(main())\n"
    )
    program = (sys.executable, str(tmp_path / "program"))

    with (
        pytest.raises(RuntimeError, match="the mount is given up") as caught,
        mounted_union([lower], None, None, merged, program=program),
    ):
        pass

    assert "cannot begin" in str(caught.value)
    assert signal.SIGKILL.name not in str(caught.value)
