"""click classes: commands that load on use, and what every command shares."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final

import click

from snapfs.cli.catalog import CommandEntry
from snapfs.cli.session import Session
from snapfs.cli.wording import did_you_mean


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called.

    Its help is written from the catalog alone.
    """

    catalog: Mapping[str, CommandEntry] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the catalog."""
        return list(self.catalog)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        entry = self.catalog.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; where there is none, name the nearest ones."""
        if args and args[0] not in self.catalog and not ctx.resilient_parsing:
            raise click.UsageError(
                f"no command {args[0]!r}{did_you_mean(args[0], self.catalog)}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands, section by section."""
        width = max(len(name) for name in self.catalog)
        for section in dict.fromkeys(e.section for e in self.catalog.values()):
            rows = [
                (name.ljust(width), entry.summary)
                for name, entry in self.catalog.items()
                if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


class Command(click.Command):
    """A command that also takes ``--json`` behind its name, where people put it."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters of the command, ``--json`` and ``--help``."""
        *own, help_option = super().get_params(ctx)
        return [*own, _JSON, help_option]


def _print_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    session = ctx.find_object(Session)
    if value and session is not None:
        session.output.as_json = True


_JSON: Final = click.Option(
    ["--json"],
    is_flag=True,
    expose_value=False,
    callback=_print_json,
    help="Print JSON on standard output.",
)


def examples(*lines: str) -> str:
    """Return the epilog of a command's help: its examples, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
