"""``bench report``: results as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from snapfs.cli.lazy import examples
from snapfs.cli.session import Session, pass_session


@click.command(
    short_help="Make one HTML page of results.",
    epilog=examples(
        "snapfs bench report result.json -o report.html",
        "snapfs bench report trees.json images.json -o report.html --picture all.svg",
    ),
)
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "-o",
    "--output",
    metavar="HTML",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page to write; it needs no other file, and no network.",
)
@click.option(
    "--picture",
    metavar="SVG",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the ratios as one picture.",
)
@click.option(
    "--only",
    metavar="NAME,...",
    multiple=True,
    help="Only these scenarios in the picture.",
)
@pass_session
def report(
    session: Session,
    files: tuple[Path, ...],
    output: Path,
    picture: Path | None,
    only: tuple[str, ...],
) -> None:
    """Show results of one machine: ratios, curves, percentiles, every sample.

    Several files become one page: of a cell that more than one of them has, the
    last one's numbers are shown. Each cell has the command that measures it again.
    """
    from snapfs.benchmarks.html import make_page, make_picture
    from snapfs.benchmarks.results import load

    results = [load(file) for file in files]
    output.write_text(make_page(results), encoding="utf-8")
    session.output.note(f"{output} is written")
    if picture is not None:
        scenarios = [name for word in only for name in word.split(",") if name]
        picture.write_text(make_picture(results, scenarios), encoding="utf-8")
        session.output.note(f"{picture} is written")
