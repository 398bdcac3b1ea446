"""``python -m support.differential``: run or replay the differential fuzzer.

A run has a mount namespace of its own, so that its mounts end with it. It prints the
fewest operations that show a difference; the exit status is then 1::

    PYTHONPATH=tests python -m support.differential --seed 7 --steps 2000
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snapfs.syscalls import mount
from support.differential_operations import Operation, Outcome
from support.differential_plan import Plan
from support.differential_run import explore, shrink
from support.differential_sides import FAULTS
from support.sandbox import REPOSITORY

_INSIDE = "--inside"
_DETACH_OTHERS = ("umount", "--all", "--lazy", "--types", "fuse.snapfs-fuse")


def run_apart(*words: str, timeout_s: float | None = None) -> tuple[int, str]:
    """Run the fuzzer with ``words`` in its own process; return status and output."""
    done = subprocess.run(
        _command(words), env=_environment(), capture_output=True, timeout=timeout_s
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def main(words: Sequence[str]) -> int:
    """Run with the arguments ``words``; return the exit status."""
    if _INSIDE not in words:
        return subprocess.run(_command(words), env=_environment()).returncode
    # Copies of other mounts in our namespace would keep their servers from ending.
    subprocess.run(_DETACH_OTHERS, check=False, stderr=subprocess.DEVNULL)
    arguments = _parser().parse_args(words)
    with tempfile.TemporaryDirectory(
        prefix="snapfs-differential-", dir=arguments.directory
    ) as made:
        directory = Path(made)
        if arguments.tmpfs:
            mount("tmpfs", directory, "tmpfs", 0, b"mode=755")
        return _run(arguments, directory)


def _run(arguments: argparse.Namespace, directory: Path) -> int:
    plan = Plan(
        arguments.seed,
        arguments.subject,
        arguments.redirect_dir,
        arguments.drop_caches,
        arguments.mode,
        arguments.userxattr,
        arguments.formats,
        arguments.kills,
    )
    for path in ("run", "shrink"):
        (directory / path).mkdir()
    progress = _trace if arguments.trace else _silence
    steps = arguments.steps
    failure, deaths = explore(plan, steps, directory / "run", progress)
    if failure is None:
        killed = f", {deaths} servers killed" if plan.kills else ""
        print(f"{plan}: {steps} operations{killed}, no difference")
        return 0
    count = len(failure.operations)
    print(f"a difference after {count} operations; leaving some out", flush=True)
    print(shrink(failure, directory / "shrink", arguments.shrink_for))
    return 1


def _trace(count: int, operation: Operation, outcome: Outcome) -> None:
    print(f"{count} {operation} -> {outcome}", flush=True)


def _silence(count: int, operation: Operation, outcome: Outcome) -> None:
    pass


def _command(words: Sequence[str]) -> list[str]:
    return [
        *("unshare", "--mount", "--propagation=private", "--"),
        *(sys.executable, "-m", "support.differential", _INSIDE, *words),
    ]


def _environment() -> dict[str, str]:
    paths = (str(REPOSITORY), str(REPOSITORY / "tests"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _parser() -> argparse.ArgumentParser:
    defaults = {field.name: field.default for field in dataclasses.fields(Plan)}
    parser = argparse.ArgumentParser(prog="python -m support.differential")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument(
        "--subject",
        choices=("engine", "kernel", *FAULTS),
        default=defaults["subject"],
        help="what is compared with kernel overlayfs; a fault must be found",
    )
    parser.add_argument("--redirect-dir", choices=("on", "off"), default="on")
    parser.add_argument("--drop-caches", action="store_true")
    parser.add_argument("--mode", choices=("fast", "io"), default="fast")
    parser.add_argument("--userxattr", action="store_true", help="and no redirects")
    parser.add_argument(
        "--formats", choices=("own", "all"), default="own", help="of the layers' marks"
    )
    parser.add_argument("--kills", action="store_true", help="servers, all the time")
    parser.add_argument("--tmpfs", action="store_true", help="layers in memory")
    parser.add_argument("--directory", type=Path, help="where the layers go")
    parser.add_argument("--shrink-for", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--trace", action="store_true", help="print every operation")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
