"""Random operations on kernel overlayfs and on the engine: the same in every way.

A failure prints the fewest operations that show it, and the command to do them again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support.differential import run_apart
from support.differential_explained import EXPLAINED
from support.differential_sides import FAULTS
from support.sandbox import REPOSITORY

pytestmark = [pytest.mark.root, pytest.mark.fuse]

_KERNEL = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
_needs_formats = pytest.mark.skipif(
    _KERNEL < (6, 8), reason="needs overlayfs with the xattr whiteouts of Linux 6.8"
)
_OPERATIONS = "250"
_MANY = "2000"
_MANY_SEEDS = range(100, 105)  # in ten ways: 100,000 operations


def _find_none(directory: Path, *words: str) -> None:
    status, printed = run_apart("--directory", str(directory), *words)

    assert status == 0, printed
    print(printed, end="")  # the count of operations, for pytest -rP


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--seed", "3", "--mode", "fast"), id="fast"),
        pytest.param(("--seed", "11", "--mode", "io"), id="io"),
        pytest.param(("--seed", "5", "--redirect-dir", "off"), id="no-redirects"),
        pytest.param(
            ("--seed", "7", "--formats", "all"), id="all-formats", marks=_needs_formats
        ),
    ],
)
def test_no_operation_differs_from_the_kernels(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    _find_none(tmp_path, "--steps", _OPERATIONS, *words)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["fast", "io"])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="plain"),
        pytest.param(("--drop-caches",), id="cold"),
        pytest.param(("--redirect-dir", "off"), id="no-redirects"),
        pytest.param(("--userxattr",), id="userxattr"),
        pytest.param(("--formats", "all"), id="all-formats", marks=_needs_formats),
    ],
)
@pytest.mark.parametrize("seed", _MANY_SEEDS)
def test_no_operation_of_many_differs(
    tmp_path: Path, words: tuple[str, ...], mode: str, seed: int
) -> None:
    run = ("--steps", _MANY, "--seed", str(seed), "--mode", mode)
    _find_none(tmp_path, *run, *words)


def test_no_operation_differs_while_servers_die(tmp_path: Path) -> None:
    _find_none(tmp_path, "--seed", "1", "--steps", "100", "--kills")


@pytest.mark.full
@pytest.mark.parametrize("mode", ["fast", "io"])
@pytest.mark.parametrize("more", [(), ("--userxattr",)], ids=["trusted", "userxattr"])
@pytest.mark.parametrize("seed", range(100, 105))
def test_a_hundred_deaths_make_no_difference(
    tmp_path: Path, seed: int, mode: str, more: tuple[str, ...]
) -> None:
    words = ("--steps", "700", "--seed", str(seed), "--mode", mode, *more)
    _find_none(tmp_path, *words, "--kills")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_cut_down(tmp_path: Path, fault: str) -> None:
    words = ("--seed", "1", "--steps", "2000", "--subject", fault, "--shrink-for", "3")

    status, printed = run_apart("--directory", str(tmp_path), *words)

    assert status == 1, printed
    assert FAULTS[fault].call in printed


def test_the_documentation_lists_every_difference_that_is_meant() -> None:
    page = (REPOSITORY / "docs/overlay-semantics.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]

    listed = {row[1].strip(" `"): row[2].strip() for row in rows}

    assert listed == {row.name: row.reason for row in EXPLAINED}
