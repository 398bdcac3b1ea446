"""``bench gate``: exact counts against the committed baseline."""

from __future__ import annotations

from pathlib import Path

import click

from snapfs.cli.bench_options import directory_option, registries
from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session


@click.command(
    cls=Command,
    short_help="Hold exact counts against the committed baseline.",
    epilog=examples(
        "snapfs bench gate",
        "snapfs bench gate --ratios",
        "python -m benchmarks gate --update",
    ),
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Default: the one that comes with the suite.",
)
@click.option("--update", is_flag=True, help="Write what is found as the new limits.")
@click.option(
    "--ratios",
    is_flag=True,
    help="Compare times instead, against generous limits; for what no counter shows.",
)
@directory_option
@click.pass_context
@pass_session
def gate(
    session: Session,
    ctx: click.Context,
    baseline: Path | None,
    update: bool,
    ratios: bool,
    directory: Path,
) -> None:
    """Count system calls and the like; fail if an operation costs more than before.

    Counts do not depend on the machine's load, so this is for continuous
    integration. With --ratios times are compared with those of others: a limit is
    exceeded only if the whole interval lies above it, twice. The exit code is 1 if a
    limit is exceeded.
    """
    if ratios:
        if update:
            raise click.UsageError("ratios have limits with reasons: edit them by hand")
        if not _hold_ratios(session, baseline, directory):
            ctx.exit(ExitCode.FAILED)
        return
    from snapfs.benchmarks.counter_gate import (
        BASELINE,
        Standing,
        load_limits,
        save_limits,
        try_limits,
    )

    path = baseline or BASELINE
    results = try_limits(load_limits(path), *registries(), directory)
    if update:
        save_limits(results, path)
        session.output.note(f"{path} is updated")
        return
    if session.output.as_json:
        session.output.document(
            [
                {
                    "limit": result.limit.name,
                    "per_operation": result.limit.per_operation,
                    "tolerance": result.limit.tolerance,
                    "found": result.found,
                    "standing": result.standing,
                    "reason": result.reason,
                }
                for result in results
            ]
        )
    else:
        session.output.table(
            ("COUNTER", ">LIMIT", ">FOUND", "STANDING"),
            [
                (
                    result.limit.name,
                    f"{result.limit.per_operation:g}",
                    "-" if result.found is None else f"{result.found:g}",
                    " ".join(filter(None, (result.standing, result.reason))),
                )
                for result in results
            ],
        )
    if any(result.standing is Standing.EXCEEDED for result in results):
        ctx.exit(ExitCode.FAILED)


def _hold_ratios(session: Session, baseline: Path | None, directory: Path) -> bool:
    """Print how each ratio stands to its limit; return whether all hold."""
    import tempfile

    from snapfs.benchmarks.counter_gate import Standing
    from snapfs.benchmarks.ratio_gate import (
        RATIOS,
        gate_request,
        load_ratios,
        try_ratios,
    )

    request = gate_request(directory, Path(tempfile.gettempdir()))
    results = try_ratios(load_ratios(baseline or RATIOS), *registries(), request)
    if session.output.as_json:
        session.output.document(
            [
                {
                    "limit": result.limit.name,
                    "at_most": result.limit.at_most,
                    "ratio": result.effect and result.effect.ratio,
                    "low": result.effect and result.effect.low,
                    "standing": result.standing,
                    "reason": result.reason,
                }
                for result in results
            ]
        )
    else:
        session.output.table(
            ("RATIO", ">AT MOST", ">FOUND", ">[95 %]", "STANDING"),
            [
                (
                    result.limit.name,
                    f"{result.limit.at_most:g}",
                    f"{result.effect.ratio:.2f}" if result.effect else "-",
                    f"{result.effect.low:.2f} ... {result.effect.high:.2f}"
                    if result.effect
                    else "-",
                    " ".join(filter(None, (result.standing, result.reason))),
                )
                for result in results
            ],
        )
    return all(result.standing is not Standing.EXCEEDED for result in results)
