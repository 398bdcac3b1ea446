"""Interpreters of programs, against what binutils reads in this machine's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs.inspect.interpreter import HEAD_BYTES, interpreter

PROGRAMS = sorted(Path("/usr/bin").iterdir())[::20]


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf")
def test_the_linkers_of_this_machines_programs_are_those_that_readelf_names() -> None:
    compared = 0
    for program in PROGRAMS:
        with program.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not head.startswith(b"\x7fELF"):
            continue
        listed = subprocess.run(
            ["readelf", "--program-headers", "--wide", program],
            capture_output=True,
            text=True,
            check=True,
        )
        named = re.search(r"program interpreter: (.*)\]", listed.stdout)
        compared += 1
        assert interpreter(head) == (named[1] if named else ""), program

    assert compared


@pytest.mark.parametrize(
    ("head", "found"),
    [
        pytest.param(b"#!/bin/sh\n", "/bin/sh", id="script"),
        pytest.param(b"#! \t/usr/bin/env python3\n", "/usr/bin/env", id="argument"),
        pytest.param(b"#!/bin/sh\r\n", "/bin/sh\r", id="windows"),
        pytest.param(b"#!\n/bin/sh", "", id="empty"),
        pytest.param(b"#!" + b" " * 254 + b"/bin/sh", "", id="beyond-the-buffer"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"text", "", id="text"),
        pytest.param(b"\x7fELF", "", id="cut-off"),
        pytest.param(b"\x7fELF\2\1" + b"\xff" * 100, "", id="far-away"),
        pytest.param(b"\x7fELF\3\1" + b"\0" * 100, "", id="no-class"),
    ],
)
def test_what_is_odd_has_no_interpreter_or_that_of_the_kernel(
    head: bytes, found: str
) -> None:
    assert interpreter(head) == found
