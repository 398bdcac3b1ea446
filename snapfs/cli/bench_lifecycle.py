"""``bench lifecycle``: what each call on a snapshot costs, both sides, one table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from snapfs.cli.bench_options import (
    backing_option,
    directory_option,
    json_option,
    profile_option,
    registries,
    seed_option,
)
from snapfs.cli.bench_results import deliver
from snapfs.cli.lazy import examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.signals import ended_by_sigterm


@click.command(
    short_help="Measure the life of a snapshot against containerd's snapshotter.",
    epilog=examples(
        "snapfs bench lifecycle --json lifecycle.json",
        "snapfs bench lifecycle --snapshots 10 --snapshots 100",
    ),
)
@profile_option
@click.option(
    "--snapshots",
    multiple=True,
    type=click.IntRange(min=10),
    help="How many snapshots are present, a multiple of 10; may be repeated. "
    "Default: 10, 1000 and 10000.",
)
@seed_option
@backing_option
@directory_option
@json_option
@pass_session
def lifecycle(
    session: Session,
    profile: str,
    snapshots: tuple[int, ...],
    seed: int,
    backing: str | None,
    directory: Path,
    json_file: str | None,
) -> None:
    """Measure every call over gRPC, start-up, collection and containers; one table.

    snapfs stands beside containerd's own overlayfs snapshotter, with 10, 1,000 and
    10,000 snapshots present. The profile says how many blocks there are. With 10,000
    snapshots this takes most of an hour.
    """
    from snapfs.benchmarks.backing import Backing, best_available
    from snapfs.benchmarks.lifecycle import IMAGE_BYTES, SNAPSHOTS, measure_lifecycle
    from snapfs.benchmarks.lifecycle_report import print_lifecycle
    from snapfs.benchmarks.progress import PrintedProgress, SilentProgress
    from snapfs.benchmarks.protocols import Profile
    from snapfs.benchmarks.suite import Request

    if any(count % 10 for count in snapshots):
        raise click.BadParameter("it must be a multiple of 10", param_hint="snapshots")
    request = Request(
        profile=Profile(profile),
        seed=seed,
        backing=Backing(backing) if backing else best_available(),
        directory=directory,
        image_bytes=IMAGE_BYTES,
        lock=Path(tempfile.gettempdir()),
        command=("snapfs", *sys.argv[1:]),
    )
    is_silent = session.output.is_quiet
    with ended_by_sigterm():
        results = measure_lifecycle(
            request,
            registries()[0],
            sorted(set(snapshots)) or SNAPSHOTS,
            lambda: SilentProgress() if is_silent else PrintedProgress(sys.stderr),
        )
    deliver(session, results, json_file, print_lifecycle)
