"""Running the files of pjdfstest one by one, and reading what they say (TAP).

The Test Anything Protocol: a plan ``1..N``, and N lines ``ok`` or ``not ok``. A file
that has nothing to try here shortens its plan, often to one ``ok``: which files do so
must be compared with another filesystem in the same run.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

# Most of their time the files sleep, to see time stamps change.
_SIDE_BY_SIDE: Final = 4
# Only a mount that hangs meets this: the longest file takes 40 s here.
_HANGS_S: Final = 600

# Some names that it tries are as long as a path may be.
_SHOWN: Final = 160

_PLAN: Final = re.compile(r"1\.\.(\d+)")
_RESULT: Final = re.compile(r"(not )?ok\b(.*)")


@dataclasses.dataclass(frozen=True, slots=True)
class FileResult:
    """What one file of tests said.

    Attributes:
        planned: The number of tests that it announced.
        passed: Those that are as they should be.
        failed: The lines of those that are not, and what else is wrong.
        excused: The lines with a directive (``# SKIP``, ``# TODO``), without their
            outcome: that of a ``TODO`` may be either.
    """

    planned: int
    passed: int
    failed: Sequence[str]
    excused: Sequence[str]


def read_tap(text: str) -> FileResult:
    """Judge one file's output."""
    planned, passed, count = 0, 0, 0
    failed: list[str] = []
    excused: list[str] = []
    for line in text.splitlines():
        if plan := _PLAN.fullmatch(line.strip()):
            planned = int(plan[1])
        elif result := _RESULT.match(line):
            count += 1
            is_excused = re.search(r"#\s*(skip|todo)", result[2], re.IGNORECASE)
            if is_excused:
                excused.append(line.removeprefix("not "))
            if result[1] and not is_excused:
                failed.append(_shortened(line))
            else:
                passed += 1
    if count != planned or not count:
        failed.append(f"{count} of {planned} planned tests ran")
    return FileResult(planned, passed, tuple(failed), tuple(excused))


def _shortened(line: str) -> str:
    if len(line) <= _SHOWN:
        return line
    return f"{line[: _SHOWN // 2]} ... {line[-_SHOWN // 2 :]}"


def run_files(tests: Path, directory: Path) -> dict[str, FileResult]:
    """Run every ``.t`` file below ``tests``, each in a directory of its own.

    The directories lie in ``directory``, on the filesystem to be tried.
    """
    names = sorted(str(path.relative_to(tests)) for path in tests.rglob("*.t"))

    def run(name: str) -> FileResult:
        own = directory / name.replace("/", "_")
        own.mkdir(mode=0o755)
        return _run_file(tests / name, own)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return dict(zip(names, pool.map(run, names), strict=True))


def _run_file(file: Path, directory: Path) -> FileResult:
    try:
        done = subprocess.run(
            ["/bin/sh", str(file)],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_HANGS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FileResult(0, 0, (f"did not end within {_HANGS_S} s",), ())
    return read_tap(done.stdout)


def failures(results: Mapping[str, FileResult]) -> dict[str, Sequence[str]]:
    """Return the files that fail, with what they say."""
    return {name: found.failed for name, found in results.items() if found.failed}


def total(results: Mapping[str, FileResult]) -> int:
    """Return how many tests were run."""
    return sum(found.planned for found in results.values())


def shape(results: Mapping[str, FileResult]) -> dict[str, tuple[int, Sequence[str]]]:
    """Return what each file tried and excused: equal where as much was skipped."""
    return {name: (found.planned, found.excused) for name, found in results.items()}
