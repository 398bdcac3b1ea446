"""Manual pages (man(7)) of the commands, from what the commands say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import click

from snapfs import __version__
from snapfs.cli.exit_codes import ExitCode

SECTION: Final = 1

_EXIT_CODES: Final = {
    ExitCode.DONE: "Done.",
    ExitCode.FAILED: "It failed; or a check that was asked for did not pass.",
    ExitCode.USAGE: "The command was used in a wrong way.",
    ExitCode.NOT_FOUND: "Something named does not exist.",
    ExitCode.ALREADY_EXISTS: "Something to be made is there already.",
    ExitCode.FAILED_PRECONDITION: "The state of something named forbids it.",
    ExitCode.UNAVAILABLE: "This host lacks what is needed.",
    ExitCode.DATA_LOSS: "Data is damaged or unsafe.",
    ExitCode.INTERRUPTED: "It was interrupted.",
}


class Page(NamedTuple):
    """One page: its name without the section (``snapfs-image-ls``), and its text."""

    name: str
    text: str


def pages(command: click.Command, name: str) -> Iterator[Page]:
    """Yield the page of a command, and those of all commands below it."""
    settings = command.context_settings
    yield from _pages(click.Context(command, info_name=name, **settings))


def _pages(ctx: click.Context) -> Iterator[Page]:
    yield Page(page_name(ctx), _page(ctx))
    for name, command in _below(ctx):
        yield from _pages(click.Context(command, info_name=name, parent=ctx))


def _below(ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    group = ctx.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None and not command.hidden:
            yield name, command


def page_name(ctx: click.Context) -> str:
    """Return ``snapfs-image-ls`` for ``snapfs image ls``."""
    return ctx.command_path.replace(" ", "-")


def _page(ctx: click.Context) -> str:
    command, name = ctx.command, page_name(ctx)
    parts = [
        f'.TH "{name.upper()}" {SECTION} "" "snapfs {__version__}" "snapfs"',
        # What a page shows must be what can be pasted, so no fancy hyphens.
        ".nh",
        ".SH NAME",
        f"{_roff(name)} \\- {_roff(command.get_short_help_str(200).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(ctx.command_path)}",
        _roff(" ".join(command.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    options = [
        record
        for parameter in command.get_params(ctx)
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(ctx)) is not None
    ]
    parts += [".SH OPTIONS", *_terms(options)]
    below = [(n, c.get_short_help_str(200)) for n, c in _below(ctx)]
    if below:
        parts += [".SH COMMANDS", *_terms(below)]
    parts += _examples(command)
    if ctx.parent is None:
        codes = [(str(code.value), text) for code, text in _EXIT_CODES.items()]
        parts += [".SH EXIT STATUS", *_terms(codes)]
    parts += _see_also(ctx)
    return "\n".join(parts) + "\n"


def _roff(text: str) -> str:
    """Escape text, so that it appears as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join(
        "\\&" + line if line.startswith((".", "\\(aq")) else line
        for line in escaped.split("\n")
    )


def _paragraphs(text: str) -> list[str]:
    """Return a help text; click wraps its paragraphs anew, and so does roff."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        is_literal = paragraph.startswith("\b")
        body = [line.strip() for line in paragraph.lstrip("\b\n").split("\n")]
        lines.append(".PP")
        if is_literal:
            lines += [".nf", *map(_roff, body), ".fi"]
        else:
            lines.append(_roff(" ".join(body)))
    return lines


def _terms(rows: list[tuple[str, str]]) -> list[str]:
    lines = []
    for term, text in rows:
        lines += [".TP", f".B {_roff(term)}", _roff(" ".join(text.split()))]
    return lines


def _examples(command: click.Command) -> list[str]:
    """Return the examples of a help's end, one a line there."""
    lines = (command.epilog or "").replace("\b", "").strip().split("\n")[1:]
    shown = [_roff(line.strip()) for line in lines if line.strip()]
    return [".SH EXAMPLES", ".nf", *shown, ".fi"] if shown else []


def _see_also(ctx: click.Context) -> list[str]:
    names = []
    if ctx.parent is not None:
        names.append(page_name(ctx.parent))
    names += [f"{page_name(ctx)}-{name}" for name, _ in _below(ctx)]
    shown = ",\n".join(f".BR {_roff(name)} ({SECTION})" for name in names)
    # The comma belongs to the reference before it.
    shown = re.sub(r"\((\d)\),\n", r"(\1) ,\n", shown)
    return [".SH SEE ALSO", shown] if names else []
