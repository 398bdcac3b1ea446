"""Running unionmount-testsuite, in a mount namespace of its own.

It mounts ``-t fuse.NAME`` by mount(8), and mount.fuse3 looks NAME up on the search
path: the namespace has a directory there that holds our launcher.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from support.sandbox import REPOSITORY

LAUNCHER: Final = "snapfs-fuse"

# mount(8) gives its helpers a search path that begins here; hidden by a tmpfs.
_PROGRAMS: Final = Path("/usr/local/sbin")
_HANGS_S: Final = 1200

# Its tests of directory renames without redirects, and with them.
_WITHOUT_REDIRECTS: Final = frozenset({"rename-exdev"})
_WITH_REDIRECTS: Final = frozenset(
    {"rename-dir", "rename-empty-dir", "rename-pop-dir", "rename-move-dir"}
)

_IN_NAMESPACE: Final = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
printf '%s\\n' "$2" >"$1/$3"
chmod 755 "$1/$3"
shift 3
exec "$@"
"""


@dataclasses.dataclass(frozen=True, slots=True)
class SuiteResult:
    """What one run said.

    Attributes:
        tests: The lines of the tests that were begun; the suite stops at a failure.
        problem: The end of its output if it failed; "" if it passed.
    """

    tests: Sequence[str]
    problem: str


def launcher(options: Sequence[str] = ()) -> str:
    """Return a program that mounts by this checkout's helper, with more ``options``."""
    words = [f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "snapfs.fuse.helper"]
    more = f" -o {shlex.quote(','.join(options))}" if options else ""
    return f'#!/bin/sh\nexec env {shlex.join(words)} "$@"{more}'


def run_suite(
    program: Path,
    base: Path,
    arguments: Sequence[str],
    *,
    program_text: str = "",
    mount_options: str = "rw",
) -> SuiteResult:
    """Run it with ``arguments`` on directories of its own in ``base``.

    ``program_text`` is what :data:`LAUNCHER` is in the namespace.
    """
    base.mkdir()
    inner = [sys.executable, "-B", str(program), *arguments]
    unshare = ["unshare", "--mount", "--propagation=private"]
    place = [str(_PROGRAMS), program_text, LAUNCHER]
    try:
        done = subprocess.run(
            [*unshare, "sh", "-c", _IN_NAMESPACE, "sh", *place, *inner],
            cwd=program.parent,
            env={
                **os.environ,
                "PATH": f"{_PROGRAMS}:{os.environ['PATH']}",
                "UNIONMOUNT_BASEDIR": str(base),
                "UNIONMOUNT_MNTOPTIONS": mount_options,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_HANGS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return SuiteResult((), f"it did not end within {_HANGS_S} s")
    tests = re.findall(r"^TEST (.*)$", done.stdout, re.MULTILINE)
    problem = done.stdout[-1500:] if done.returncode else ""
    return SuiteResult(tests, problem)


def failing_files(
    program: Path,
    base: Path,
    arguments: Sequence[str],
    *,
    program_text: str = "",
    mount_options: str = "rw",
) -> dict[str, str]:
    """Run every file of the suite by itself; return those that fail, and their words.

    For the report of a failed run, which ends at the first problem.
    """
    hidden = _WITH_REDIRECTS if "--xdev" in arguments else _WITHOUT_REDIRECTS
    names = sorted(path.stem for path in (program.parent / "tests").glob("[a-z]*.py"))
    found = {}
    for name in names:
        if name in hidden:
            continue
        result = run_suite(
            program,
            base.with_name(f"{base.name}-{name}"),
            [*arguments, name],
            program_text=program_text,
            mount_options=mount_options,
        )
        if result.problem:
            found[name] = result.problem.strip().splitlines()[-1]
    return found
