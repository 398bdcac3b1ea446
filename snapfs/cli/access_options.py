"""Which part of WHAT is mounted, and what may happen to it: the options."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import click

from snapfs.cli.access import Access, Selection
from snapfs.cli.gathering import gathered

_Function = TypeVar("_Function", bound=Callable[..., object])


def _access(read_only: bool, writable: bool, upper: str) -> Access:
    """Return what the three options mean together.

    Raises:
        click.UsageError: They contradict each other.
    """
    if read_only and (writable or upper):
        other = "--rw" if writable else "--upper"
        raise click.UsageError(f"--ro and {other} exclude each other")
    # No resolve_path in the option: click would make "" the current directory.
    upper = os.path.realpath(upper) if upper else ""
    return Access(writable or bool(upper), upper, is_read_only=read_only)


def _access_options(ro_help: str, rw_help: str) -> Callable[[_Function], _Function]:
    return gathered(
        "access",
        _access,
        (
            click.option("--ro", "read_only", is_flag=True, help=ro_help),
            click.option("--rw", "writable", is_flag=True, help=rw_help),
            click.option(
                "--upper",
                metavar="DIR",
                type=click.Path(file_okay=False),
                default="",
                help="Keep the changes in DIR (DIR/fs, DIR/work); implies --rw.",
            ),
        ),
        ("read_only", "writable", "upper"),
    )


def access_options(function: _Function) -> _Function:
    """Add ``--ro``, ``--rw`` and ``--upper`` to a command that is read-only without.

    The command gets them as ``access``.
    """
    decorate = _access_options(
        "Refuse writes; the default.",
        "Let the tree be changed: an active snapshot itself; all else for as long as it"
        " is mounted.",
    )
    return decorate(function)


def throwaway_options(function: _Function) -> _Function:
    """Add the same to a command that may write and forgets it without."""
    decorate = _access_options(
        "Refuse writes.", "Leave its changes in the active snapshot WHAT."
    )
    return decorate(function)


def _selection(platform: str | None, layer: int | None, at: int | None) -> Selection:
    """Return what the three options mean together.

    Raises:
        click.UsageError: They contradict each other.
    """
    if layer is not None and at is not None:
        raise click.UsageError("--layer and --at exclude each other")
    return Selection(platform, layer, at)


def selection_options(function: _Function) -> _Function:
    """Add ``--platform``, ``--layer`` and ``--at``; the command gets ``selection``."""
    decorate: Callable[[_Function], _Function] = gathered(
        "selection",
        _selection,
        (
            click.option(
                "--platform",
                metavar="OS/ARCH",
                help="The image to take of several. Default: this machine's.",
            ),
            click.option(
                "--layer",
                metavar="N",
                type=click.IntRange(min=1),
                help="What layer N alone holds, its whiteouts too. 1 is the lowest.",
            ),
            click.option(
                "--at",
                metavar="N",
                type=click.IntRange(min=1),
                help="The tree as of layer N: what the layers 1 to N show.",
            ),
        ),
        ("platform", "layer", "at"),
    )
    return decorate(function)
