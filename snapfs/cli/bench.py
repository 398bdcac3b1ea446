"""``bench``: the copy-on-write benchmark suite.

Everything of the suite is imported by the command that needs it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapfs.cli.bench_agreement import agreement
from snapfs.cli.bench_gate import gate
from snapfs.cli.bench_lifecycle import lifecycle
from snapfs.cli.bench_list import list_all
from snapfs.cli.bench_options import (
    STANDARD_OUTPUT,
    backing_option,
    directory_option,
    json_option,
    profile_option,
    registries,
    seed_option,
)
from snapfs.cli.bench_report import report
from snapfs.cli.bench_results import deliver
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.signals import ended_by_sigterm

if TYPE_CHECKING:
    from snapfs.benchmarks.results import Results
    from snapfs.benchmarks.selection import Factories

_patterns = click.option(
    "--only",
    metavar="NAME,...",
    multiple=True,
    help="Only these scenarios; shell patterns are understood.",
)
_targets = click.option(
    "--targets",
    metavar="NAME,...",
    multiple=True,
    help="Only these targets, and a baseline. NAME:PATH is the build of it at PATH.",
)
_baseline = click.option(
    "--baseline",
    metavar="NAME",
    default="",
    help="Compare with this target. Default: what each scenario names.",
)
_with = click.option(
    "--with",
    "outside",
    metavar="FILE.py",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also the targets of this Python file, which is run; may be repeated.",
)


_cells = click.option(
    "--cell",
    "cells",
    metavar="'NAME=VALUE ...'",
    multiple=True,
    help="Only cells that have all these words, as in 'depth=32 warm'.",
)


@click.group(
    short_help="Measure copy-on-write, side by side.",
    epilog=examples(
        "snapfs bench list",
        "snapfs bench run --profile quick --json now.json",
        "snapfs bench compare before.json now.json",
    ),
)
def bench() -> None:
    """Measure copy-on-write: targets side by side, in random order, with a control.

    The baseline of every comparison runs twice under two names. How far these two
    seem to differ is the noise floor: smaller differences count as none.
    """


bench.add_command(list_all)
bench.add_command(gate)
bench.add_command(lifecycle)
bench.add_command(agreement)
bench.add_command(report)


@bench.command(
    short_help="Measure.",
    epilog=examples(
        "snapfs bench run",
        "snapfs bench run --only 'file_*' --cpus 1 --cpus 2",
        "snapfs bench run --targets fuse-overlayfs:/opt/build/fuse-overlayfs",
        "snapfs bench run --only copy_up_latency --cell size_bytes=4096",
        "snapfs bench run --profile full --resume result.json",
    ),
)
@profile_option
@_patterns
@_targets
@_baseline
@_with
@_cells
@seed_option
@click.option(
    "--cpus",
    multiple=True,
    type=click.Choice(["1", "2", "free"]),
    help="Client and target on one CPU, on two, or anywhere; may be repeated.",
)
@backing_option
@click.option(
    "--size-mb",
    default=2048,
    show_default=True,
    type=click.IntRange(min=512),
    help="The size of the image, or of tmpfs.",
)
@directory_option
@json_option
@click.option(
    "--resume",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Go on with the results in FILE, or begin them: what it has is not measured "
    "again. Like --json FILE, it is written after each cell.",
)
@pass_session
def run(
    session: Session,
    profile: str,
    only: tuple[str, ...],
    targets: tuple[str, ...],
    baseline: str,
    outside: tuple[Path, ...],
    cells: tuple[str, ...],
    seed: int,
    cpus: tuple[str, ...],
    backing: str | None,
    size_mb: int,
    directory: Path,
    json_file: str | None,
    resume: Path | None,
) -> None:
    """Measure what is asked for, print tables, keep every sample.

    Nothing else should run meanwhile: the redo rule repeats blocks that others
    disturbed, three of each comparison at most. Root is needed for mounts, cold
    caches and system call counts; what cannot be had is left out and named.
    """
    from snapfs.benchmarks.backing import Backing, best_available
    from snapfs.benchmarks.placement import Placement
    from snapfs.benchmarks.progress import PrintedProgress, SilentProgress
    from snapfs.benchmarks.protocols import Profile
    from snapfs.benchmarks.report import print_results
    from snapfs.benchmarks.results import load
    from snapfs.benchmarks.resuming import keep
    from snapfs.benchmarks.suite import Request, Suite
    from snapfs.benchmarks.targets import builds

    if resume is not None and json_file not in (None, STANDARD_OUTPUT, str(resume)):
        raise click.UsageError("--resume FILE is written itself: leave out --json FILE")
    if resume is not None:
        json_file = str(resume)
    earlier = load(resume) if resume is not None and resume.exists() else None
    placements = {
        "1": Placement.ONE_CPU,
        "2": Placement.TWO_CPUS,
        "free": Placement.FREE,
    }
    request = Request(
        profile=Profile(profile),
        only=_split(only),
        targets=_split(targets),
        baseline=baseline,
        cells=cells,
        seed=seed,
        placements=tuple(placements[word] for word in dict.fromkeys(cpus)),
        backing=Backing(backing) if backing else best_available(),
        directory=directory,
        image_bytes=size_mb << 20,
        lock=Path(tempfile.gettempdir()),
        command=("snapfs", *sys.argv[1:]),
    )
    is_silent = session.output.is_quiet
    known, scenarios = registries()
    suite = Suite(
        request,
        {**known, **builds(request.targets), **_loaded(outside)},
        scenarios,
        SilentProgress() if is_silent else PrintedProgress(sys.stderr),
        earlier=earlier,
        keep=_keeper(json_file, keep),
    )
    with ended_by_sigterm():
        results = suite.run()
    deliver(session, results, json_file, print_results)


@bench.command(
    cls=Command,
    short_help="Compare two results.",
    epilog=examples("snapfs bench compare before.json after.json"),
)
@click.argument("before", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(dir_okay=False, path_type=Path))
@pass_session
def compare(session: Session, before: Path, after: Path) -> None:
    """Tell what changed from one result to another.

    Targets are compared by their ratios to the baseline of their own run; only the
    baselines themselves by time.
    """
    import dataclasses

    from snapfs.benchmarks.compare_report import print_difference
    from snapfs.benchmarks.comparing import compare_results
    from snapfs.benchmarks.results import load
    from snapfs.benchmarks.table import Printer

    difference = compare_results(load(before), load(after))
    if session.output.as_json:
        session.output.document(dataclasses.asdict(difference))
    else:
        print_difference(difference, Printer())


def _keeper(
    json_file: str | None, keep: Callable[[Results, Path], None]
) -> Callable[[Results], None]:
    """Return who writes what there is so far, if there is a file."""
    if json_file in (None, STANDARD_OUTPUT):
        return lambda _: None
    path = Path(json_file)
    return lambda results: keep(results, path)


def _loaded(files: Sequence[Path]) -> Factories:
    from snapfs.benchmarks.outside import load_targets

    return {name: make for file in files for name, make in load_targets(file).items()}


def _split(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for word in words for part in word.split(",") if part)
