"""The program: global options, logging, dispatch, and errors to exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from snapfs import __version__
from snapfs.cli.catalog import CATALOG
from snapfs.cli.exit_codes import ExitCode, exit_code
from snapfs.cli.lazy import LazyGroup, examples
from snapfs.cli.log_output import set_up_logging
from snapfs.cli.messages import describe, is_expected
from snapfs.cli.output import Output, abandon_standard_output, complain
from snapfs.cli.overview import EXAMPLES, OPTIONS, SUMMARY, terminal_width
from snapfs.cli.session import Library, Session, default_root


class SnapfsGroup(LazyGroup):
    """The top-level commands."""

    catalog = CATALOG


@click.group(
    cls=SnapfsGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "terminal_width": terminal_width(),
    },
    help=SUMMARY,
    epilog=examples(*EXAMPLES),
)
@click.version_option(__version__, prog_name="snapfs", message="%(prog)s %(version)s")
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(readable=False),
    help=OPTIONS["--root DIR"],
)
@click.option(
    "--driver",
    type=click.Choice(["auto", "kernel", "fuse"]),
    default="auto",
    help=OPTIONS["--driver [auto|kernel|fuse]"],
)
@click.option("--json", "as_json", is_flag=True, help=OPTIONS["--json"])
@click.option("-q", "--quiet", is_flag=True, help=OPTIONS["-q, --quiet"])
@click.option("-v", "--verbose", count=True, help=OPTIONS["-v, --verbose"])
@click.pass_context
def cli(
    ctx: click.Context,
    root: str | None,
    driver: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> None:
    """Set up what every command works with."""
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
    set_up_logging(is_quiet=quiet, verbosity=verbose)


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
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last resort
        return end_with(error)
    return code if isinstance(code, int) else ExitCode.DONE


def end_with(error: BaseException, command: str = "") -> int:
    """Tell of the error that ends the program; return the exit code.

    ``command`` is the one that was run, if it was not by click.
    """
    if isinstance(error, BrokenPipeError):
        # The reader of our output has seen enough (`snapfs ls | head`).
        abandon_standard_output()
        return ExitCode.FAILED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return ExitCode.USAGE
    if command and isinstance(error, click.UsageError):
        error.ctx = _context(command)
    complain(describe(error))
    _log_traceback(error)
    return exit_code(error)


def _context(name: str) -> click.Context:
    """Return the context in which click would have run a command."""
    above = click.Context(cli, info_name="snapfs")
    command = cli.get_command(above, name)
    assert command is not None, "it has been run"
    return click.Context(command, info_name=name, parent=above)


def _log_traceback(error: BaseException) -> None:
    """Show where an error comes from to those who asked for it."""
    import logging

    level = logging.DEBUG if is_expected(error) else logging.INFO
    logging.getLogger("snapfs.cli").log(level, "traceback", exc_info=error)
