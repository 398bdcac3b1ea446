"""``man``: the manual pages."""

from __future__ import annotations

import os

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import did_you_mean
from snapfs.errors import NotFoundError


@click.command(
    cls=Command,
    short_help="Print a manual page, or write all of them.",
    epilog=examples(
        "snapfs man image diff | man -l -",
        "snapfs man --output /usr/local/share/man/man1",
    ),
)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    "output",
    metavar="DIR",
    type=click.Path(),
    help="Write the pages of all commands there, where man(1) looks for section 1.",
)
@click.pass_context
@pass_session
def man(
    session: Session, ctx: click.Context, words: tuple[str, ...], output: str | None
) -> None:
    """Print the manual page of COMMAND, by default that of snapfs, as roff text.

    The pages are made of what the commands say of themselves in their help.
    """
    # Here: all commands are loaded for it.
    from snapfs.cli.man_pages import SECTION, pages

    found = {page.name: page.text for page in pages(ctx.find_root().command, "snapfs")}
    if output is None:
        name = "-".join(("snapfs", *words))
        if name not in found:
            known = [known.removeprefix("snapfs-").replace("-", " ") for known in found]
            asked = " ".join(words)
            raise NotFoundError(f"no command {asked!r}{did_you_mean(asked, known)}")
        session.output.raw(found[name])
        return
    if words:
        raise click.UsageError("--output writes all pages; name no command with it")
    os.makedirs(output, exist_ok=True)
    for name, text in found.items():
        path = os.path.join(output, f"{name}.{SECTION}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    if session.output.as_json:
        session.output.document(
            {"directory": os.path.abspath(output), "pages": len(found)}
        )
    else:
        session.output.note(f"{len(found)} pages in {output!r}")
