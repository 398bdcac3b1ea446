"""A mount goes on under a program that was installed after it was mounted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from support.fuse_mounts import mounted_union
from support.keeper import kill_server, server_of
from support.sandbox import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.root]

OLD = """
import sys
from snapfs.fuse.helper.main import main
sys.exit(main())
"""
# What a server shows of itself.
NEW = """
import sys
from snapfs.fuse.union.union import Union
Union.read_link = lambda self, node: b"the new one"
from snapfs.fuse.helper.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("mode", ["fast", "io"])
def test_a_signal_has_the_new_program_go_on(tmp_path: Path, mode: str) -> None:
    lower, upper, work, merged, program = _prepare(tmp_path)
    command = (sys.executable, str(program))
    with mounted_union(
        [lower], upper, work, merged, (f"mode={mode}",), program=command
    ) as union:
        keeper = union.process.pid
        with open(merged / "file", "r+") as file:
            file.write("LOWER")
            file.flush()
            os.unlink(merged / "file")
            program.write_text(NEW)
            before = server_of(keeper)

            os.kill(keeper, signal.SIGUSR2)
            wait_until(lambda: server_of(keeper) not in (None, before), "a new server")

            assert os.readlink(merged / "link") == "the new one"
            assert os.pread(file.fileno(), 10, 0) == b"LOWER\n"
            kill_server(keeper)
            assert os.readlink(merged / "link2") == "the new one"
            assert os.pread(file.fileno(), 10, 0) == b"LOWER\n"
        # And once more: what was handed over can be so again.
        os.kill(keeper, signal.SIGUSR2)
        (merged / "new").write_text("new")
        assert sorted(os.listdir(merged)) == ["link", "link2", "new"]
    assert os.listdir(work / "work") == []


def test_a_program_that_cannot_begin_changes_nothing(tmp_path: Path) -> None:
    lower, upper, work, merged, program = _prepare(tmp_path)
    with pytest.raises(RuntimeError, match="cannot go on here"):  # it says so
        _upgrade_to_nothing(lower, upper, work, merged, program)


def _upgrade_to_nothing(
    lower: Path, upper: Path, work: Path, merged: Path, program: Path
) -> None:
    command = (sys.executable, str(program))
    with mounted_union([lower], upper, work, merged, program=command) as union:
        keeper = union.process.pid
        program.write_text("raise SystemExit(3)")
        before = server_of(keeper)

        os.kill(keeper, signal.SIGUSR2)
        wait_until(lambda: server_of(keeper) not in (None, before), "a server")

        assert (merged / "file").read_text() == "lower\n"


def _prepare(tmp_path: Path) -> tuple[Path, ...]:
    names = ("lower", "upper", "work", "merged")
    made = tuple(tmp_path / name for name in names)
    for path in made:
        path.mkdir()
    (made[0] / "file").write_text("lower\n")
    for name in ("link", "link2"):
        (made[0] / name).symlink_to("the old one")
    program = tmp_path / "program"
    program.write_text(OLD)
    return (*made, program)
