"""``bench agreement``: this instrument against hyperfine and fio."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from snapfs.cli.bench_options import directory_option, registries, seed_option
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session

if TYPE_CHECKING:
    from snapfs.benchmarks.agreement import Agreements
    from snapfs.benchmarks.table import Printer


@click.command(
    cls=Command,
    short_help="Hold this instrument against hyperfine and fio.",
    epilog=examples("snapfs bench agreement", "snapfs bench agreement --blocks 6"),
)
@click.option(
    "--blocks",
    default=12,
    show_default=True,
    type=click.IntRange(min=6),
    help="How often everything is measured; one takes about ten seconds.",
)
@seed_option
@directory_option
@pass_session
def agreement(session: Session, blocks: int, seed: int, directory: Path) -> None:
    """Measure the same trees with this instrument and with others, interleaved.

    Two commands are timed by hyperfine, too, and the throughput of reads and writes
    by fio; both are Debian packages. Layers are made by containerd's own benchsuite,
    built from its Go module. Root is needed, to mount.
    """
    import tempfile

    from snapfs.benchmarks.agreement import compare_instruments
    from snapfs.benchmarks.backing import best_available
    from snapfs.benchmarks.exclusive import only_one
    from snapfs.benchmarks.table import Printer
    from snapfs.benchmarks.workspaces import open_workspaces

    def tell(block: int) -> None:
        session.output.note(f"block {block + 1} of {blocks} is done")

    with (
        only_one(Path(tempfile.gettempdir())),
        open_workspaces(best_available(), directory) as workspaces,
    ):
        found = compare_instruments(
            registries()[0], workspaces, blocks=blocks, seed=seed, listener=tell
        )
    if session.output.as_json:
        session.output.document(dataclasses.asdict(found))
    else:
        _print(found, Printer())


def _print(found: Agreements, printer: Printer) -> None:
    from snapfs.benchmarks.report import verdict_words
    from snapfs.benchmarks.wording import percent, short_time

    rows = [
        (
            f"{each.scenario} {each.cell}",
            each.target,
            short_time(each.ours),
            short_time(each.theirs),
            f"{each.effect.ratio:.3f}",
            f"{each.effect.low:.3f} … {each.effect.high:.3f}",
            percent(each.effect.floor),
            verdict_words(each.effect),
            each.peer,
        )
        for each in found.times
    ]
    columns = ("MEASURED", "TARGET", ">OURS", ">PEER'S", ">RATIO", ">[95 %]")
    printer.table((*columns, ">FLOOR", "VERDICT", "PEER"), rows, indent=0)
    printer.line()
    both = [
        (
            f"{each.scenario} {each.cell}",
            f"{each.target} / {each.reference}",
            *(
                f"{effect.ratio:.3f} ({effect.low:.3f} … {effect.high:.3f})"
                for effect in (each.ours, each.theirs)
            ),
        )
        for each in found.ratios
    ]
    printer.table(
        ("MEASURED", "RATIO OF", ">OURS [95 %]", ">PEER'S [95 %]"), both, indent=0
    )
    for reason in found.unavailable:
        printer.line(f"not compared: {reason}")
