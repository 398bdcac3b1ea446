"""``completion``: the scripts that complete commands, options and keys."""

from __future__ import annotations

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session

_VARIABLE = "_SNAPFS_COMPLETE"


@click.command(
    cls=Command,
    short_help="Print the completion script for a shell.",
    epilog=examples(
        "snapfs completion bash > /usr/share/bash-completion/completions/snapfs",
        "snapfs completion zsh > /usr/local/share/zsh/site-functions/_snapfs",
        "snapfs completion fish > ~/.config/fish/completions/snapfs.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@pass_session
def completion(session: Session, ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options and keys."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    # source_vars and source_template, not source(): that one runs a bash to warn of
    # old versions, which is no business of a script for another machine.
    script = kind(ctx.find_root().command, {}, "snapfs", _VARIABLE)
    session.output.raw(script.source_template % script.source_vars() + "\n")
