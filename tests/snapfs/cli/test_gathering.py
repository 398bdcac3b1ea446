"""Options that reach a command as one value."""

from __future__ import annotations

import click
from click.testing import CliRunner

from snapfs.cli.gathering import gathered


def _point(x: int, y: int) -> tuple[int, int]:
    if x == y:
        raise click.UsageError("--x and --y are equal")
    return x, y


@click.command()
@gathered(
    "point",
    _point,
    (click.option("--x", type=int), click.option("--y", type=int)),
    ("x", "y"),
)
@click.option("--name", default="p")
def show(point: tuple[int, int], name: str) -> None:
    click.echo(f"{name} {point}")


def test_a_command_gets_one_value_beside_its_other_options() -> None:
    done = CliRunner().invoke(show, ["--y", "2", "--name", "q", "--x", "1"])

    assert (done.exit_code, done.output) == (0, "q (1, 2)\n")


def test_options_that_make_no_value_end_the_command_before_it_begins() -> None:
    done = CliRunner().invoke(show, ["--x", "1", "--y", "1"])

    assert done.exit_code == 2
    assert "--x and --y are equal" in done.output


def test_the_help_lists_the_options_in_the_order_that_was_given() -> None:
    text = CliRunner().invoke(show, ["--help"]).output

    assert text.index("--x") < text.index("--y") < text.index("--name")
