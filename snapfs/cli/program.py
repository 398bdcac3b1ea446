"""The program: global options, logging, dispatch, and errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from snapfs import __version__
from snapfs.cli.catalog import CATALOG
from snapfs.cli.exit_codes import ExitCode, exit_code
from snapfs.cli.lazy import LazyGroup, examples
from snapfs.cli.messages import describe, is_expected
from snapfs.cli.output import Output, abandon_standard_output, complain
from snapfs.cli.session import Library, Session, default_root

_MAX_WIDTH: Final = 80  # as click's own


def _terminal_width() -> int:
    """Return the width for help. click would import shutil to find it."""
    try:
        return min(int(os.environ["COLUMNS"]), _MAX_WIDTH)
    except (KeyError, ValueError):
        pass  # not set: ask the terminal
    try:
        return min(os.get_terminal_size().columns, _MAX_WIDTH)
    except OSError:
        return _MAX_WIDTH


class SnapfsGroup(LazyGroup):
    """The top-level commands."""

    catalog = CATALOG


@click.group(
    cls=SnapfsGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "terminal_width": _terminal_width(),
    },
    epilog=examples(
        "snapfs prepare work base            # a writable snapshot on 'base'",
        "snapfs mount work /mnt --rw         # use it",
        "snapfs config containerd            # let containerd use snapfs",
    ),
)
@click.version_option(__version__, prog_name="snapfs", message="%(prog)s %(version)s")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(readable=False),
    help="The state directory. Default: $SNAPFS_ROOT, else /var/lib/snapfs (root) "
    "or $XDG_DATA_HOME/snapfs.",
)
@click.option(
    "--driver",
    type=click.Choice(["auto", "kernel", "fuse"]),
    default="auto",
    help="How snapshots are mounted.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print data and errors only.")
@click.option("-v", "--verbose", count=True, help="Log more; twice: everything.")
@click.pass_context
def cli(
    ctx: click.Context,
    root: str | None,
    driver: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Copy-on-write snapshots for containers."""
    if root == "":
        raise click.UsageError("--root is empty; name a directory", ctx)
    chosen, origin = (root, "--root") if root else default_root()
    is_default_driver = (
        ctx.get_parameter_source("driver") is click.core.ParameterSource.DEFAULT
    )
    library = ctx.obj if isinstance(ctx.obj, Library) else Library()
    ctx.obj = Session(
        root=os.path.abspath(chosen),
        root_origin=origin,
        driver=driver,
        driver_origin="default" if is_default_driver else "--driver",
        output=Output(as_json=as_json, is_quiet=quiet),
        library=library,
    )
    _set_up_logging(quiet, verbose)


def run(arguments: Sequence[str] | None, library: Library | None) -> int:
    """Run the program; return its exit code. Prints every error as one line."""
    try:
        code = cli.main(
            None if arguments is None else list(arguments),
            prog_name="snapfs",
            standalone_mode=False,
            obj=library,
        )
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough (`snapfs ls | head`).
        abandon_standard_output()
        return ExitCode.FAILED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return ExitCode.USAGE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last resort
        complain(describe(error))
        _log_traceback(error)
        return exit_code(error)
    return code if isinstance(code, int) else ExitCode.DONE


def _log_traceback(error: BaseException) -> None:
    """Show where an error comes from to those who asked for it."""
    import logging

    level = logging.DEBUG if is_expected(error) else logging.INFO
    logging.getLogger("snapfs.cli").log(level, "traceback", exc_info=error)


def _set_up_logging(is_quiet: bool, verbosity: int) -> None:
    """Send the library's log to standard error; ``serve`` replaces this."""
    import logging

    levels = [logging.WARNING, logging.INFO, logging.DEBUG]
    level = logging.ERROR if is_quiet else levels[min(verbosity, 2)]
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("snapfs: %(message)s"))
    log = logging.getLogger("snapfs")
    log.handlers[:] = [handler]
    log.setLevel(level)
