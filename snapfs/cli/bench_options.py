"""What the commands of ``bench`` share; none of it loads the suite by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapfs.benchmarks.protocols import Scenario
    from snapfs.benchmarks.selection import Factories

directory_option = click.option(
    "--directory",
    metavar="DIR",
    default=tempfile.gettempdir,
    show_default="the directory for temporary files",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where files and images go for the time of the run.",
)
profile_option = click.option(
    "--profile",
    type=click.Choice(["quick", "standard", "full"]),
    default="quick",
    show_default=True,
    help="How many cells and blocks.",
)


def registries() -> tuple[Factories, Mapping[str, Scenario]]:
    """Return the targets and the scenarios that there are."""
    from snapfs.benchmarks.scenarios import SCENARIOS
    from snapfs.benchmarks.targets import TARGETS

    return TARGETS, SCENARIOS
