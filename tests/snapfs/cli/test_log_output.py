"""The log of a command, whenever ``logging`` is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.sandbox import REPOSITORY

SPEAKING = """
import sys
sys.path.insert(0, {repository!r})
{before}
from snapfs.cli.log_output import set_up_logging
from snapfs.logs import Log

set_up_logging(is_quiet={is_quiet}, verbosity={verbosity})
assert ("logging" in sys.modules) is {is_loaded}
log = Log("snapfs.some.module")
log.info("%s is as it should be", "all")
log.warning("%s is wrong", "this")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("%s went wrong", "that")
import logging
logging.getLogger("snapfs.another").warning("so is %d", 1)
assert logging.__spec__.loader is logging.__loader__
assert type(logging.__loader__).__module__ != "snapfs.cli.log_output"
"""


def said(*, before: str = "", is_quiet: bool = False, verbosity: int = 0) -> list[str]:
    program = SPEAKING.format(
        repository=str(REPOSITORY),
        before=before,
        is_quiet=is_quiet,
        verbosity=verbosity,
        is_loaded=bool(before),
    )
    done = subprocess.run(
        [sys.executable, "-ISc", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    return [line for line in lines if not line.startswith((" ", "Trace", "Zero"))]


@pytest.mark.parametrize("before", ["", "import logging"])
def test_a_warning_is_a_line_of_the_program(before: str) -> None:
    assert said(before=before) == [
        "snapfs: this is wrong",
        "snapfs: that went wrong",
        "snapfs: so is 1",
    ]


@pytest.mark.parametrize("before", ["", "import logging"])
def test_quiet_leaves_errors(before: str) -> None:
    assert said(before=before, is_quiet=True) == ["snapfs: that went wrong"]


@pytest.mark.parametrize("before", ["", "import logging"])
def test_verbose_tells_more(before: str) -> None:
    assert "snapfs: all is as it should be" in said(before=before, verbosity=1)


def test_the_last_setting_counts() -> None:
    before = """
from snapfs.cli.log_output import set_up_logging
set_up_logging(is_quiet=True, verbosity=0)
set_up_logging(is_quiet=True, verbosity=0)
assert len([f for f in sys.meta_path if type(f).__name__ == "_Watch"]) == 1
import logging
"""
    assert "snapfs: this is wrong" in said(before=before)
