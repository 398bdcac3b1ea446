"""What the commands of ``bench`` share; none of it loads the suite by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapfs.benchmarks.protocols import Scenario
    from snapfs.benchmarks.selection import Factories

# What an option "--json" without a file means.
STANDARD_OUTPUT: Final = "-"

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

seed_option = click.option(
    "--seed", default=1, show_default=True, help="Orders and resampling."
)
backing_option = click.option(
    "--backing",
    type=click.Choice(["directory", "tmpfs", "ext4", "xfs", "btrfs"]),
    help="The filesystem below: as it is, memory, or a new image on a loop device. "
    "Default: ext4 as root, else directory.",
)
json_option = click.option(
    "--json",
    "json_file",
    metavar="[FILE]",
    is_flag=False,
    flag_value=STANDARD_OUTPUT,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write raw samples and all else as JSON; without FILE to standard output, "
    "instead of the tables.",
)


def registries() -> tuple[Factories, Mapping[str, Scenario]]:
    """Return the targets and the scenarios that there are."""
    from snapfs.benchmarks.scenarios import SCENARIOS
    from snapfs.benchmarks.targets import TARGETS

    return TARGETS, SCENARIOS
