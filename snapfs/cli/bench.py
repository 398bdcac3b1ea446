"""``bench``: the copy-on-write benchmark suite.

Everything of the suite is imported by the command that needs it.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from snapfs.cli.bench_gate import gate
from snapfs.cli.bench_list import list_all
from snapfs.cli.bench_options import directory_option, profile_option, registries
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from snapfs.benchmarks.results import Results

# What an option "--json" without a file means.
_STANDARD_OUTPUT: Final = "-"

_MIB: Final = 1 << 20

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
    help="Only these targets, and a baseline.",
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


@bench.command(
    short_help="Measure.",
    epilog=examples(
        "snapfs bench run",
        "snapfs bench run --only 'file_*' --cpus 1 --cpus 2",
        "snapfs bench run --backing tmpfs --json result.json",
    ),
)
@profile_option
@_patterns
@_targets
@click.option("--seed", default=1, show_default=True, help="Orders and resampling.")
@click.option(
    "--cpus",
    multiple=True,
    type=click.Choice(["1", "2", "free"]),
    help="Client and target on one CPU, on two, or anywhere; may be repeated.",
)
@click.option(
    "--backing",
    type=click.Choice(["directory", "tmpfs", "ext4", "xfs"]),
    help="The filesystem below: as it is, memory, or a new image on a loop device. "
    "Default: ext4 as root, else directory.",
)
@click.option(
    "--size-mb",
    default=2048,
    show_default=True,
    type=click.IntRange(min=512),
    help="The size of the image, or of tmpfs.",
)
@directory_option
@click.option(
    "--json",
    "json_file",
    metavar="[FILE]",
    is_flag=False,
    flag_value=_STANDARD_OUTPUT,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write raw samples and all else as JSON; without FILE to standard output, "
    "instead of the tables.",
)
@pass_session
def run(
    session: Session,
    profile: str,
    only: tuple[str, ...],
    targets: tuple[str, ...],
    seed: int,
    cpus: tuple[str, ...],
    backing: str | None,
    size_mb: int,
    directory: Path,
    json_file: str | None,
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
    from snapfs.benchmarks.suite import Request, Suite

    if session.output.as_json and json_file is None:
        json_file = _STANDARD_OUTPUT
    placements = {
        "1": Placement.ONE_CPU,
        "2": Placement.TWO_CPUS,
        "free": Placement.FREE,
    }
    request = Request(
        profile=Profile(profile),
        only=_split(only),
        targets=_split(targets),
        seed=seed,
        placements=tuple(placements[word] for word in dict.fromkeys(cpus)),
        backing=Backing(backing) if backing else best_available(),
        directory=directory,
        image_bytes=size_mb * _MIB,
        lock=Path(tempfile.gettempdir()),
        command=("snapfs", *sys.argv[1:]),
    )
    is_silent = session.output.is_quiet
    suite = Suite(
        request,
        *registries(),
        SilentProgress() if is_silent else PrintedProgress(sys.stderr),
    )
    with _ended_by_sigterm():
        results = suite.run()
    _deliver(session, results, json_file)


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


def _split(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for word in words for part in word.split(",") if part)


def _deliver(session: Session, results: Results, json_file: str | None) -> None:
    """Write the file first: what was measured must not be lost to a closed pipe."""
    from snapfs.benchmarks.report import print_results
    from snapfs.benchmarks.results import encode
    from snapfs.benchmarks.table import Printer

    data = encode(results)
    if json_file == _STANDARD_OUTPUT:
        session.output.raw(data.decode())
        return
    if json_file is not None:
        Path(json_file).write_bytes(data)
    print_results(results, Printer())


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind like an interrupt, so that mounts and processes go away."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
