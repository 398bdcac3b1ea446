from __future__ import annotations

import click
import pytest

from snapfs.cli.catalog import CATALOG
from snapfs.cli.program import cli


def every_command() -> list[tuple[str, click.Command]]:
    ctx = click.Context(cli)
    found: list[tuple[str, click.Command]] = []
    for name in CATALOG:
        command = cli.get_command(ctx, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            for sub in command.list_commands(ctx):
                found_sub = command.get_command(ctx, sub)
                assert found_sub is not None
                found.append((f"{name} {sub}", found_sub))
    return found


@pytest.mark.parametrize(("name", "command"), every_command())
def test_help_of_every_command_has_an_example(
    name: str, command: click.Command
) -> None:
    text = command.get_help(click.Context(command, info_name=name))

    examples = text.partition("Examples:")[2]
    assert "snapfs" in examples
    assert name.rpartition(" ")[2] in examples


@pytest.mark.parametrize("name", CATALOG)
def test_the_catalog_repeats_each_short_help(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.name == name or command.name is None or name in ("rm", "ls")
    assert command.get_short_help_str(limit=100) == CATALOG[name].summary


def test_the_catalog_has_the_commands_of_the_contract() -> None:
    assert set(CATALOG) >= {
        *("prepare", "view", "commit", "rm", "label", "ls", "tree", "info", "usage"),
        *("mounts", "mount", "shell", "bundle", "run", "umount", "stats", "blame"),
        *("cleanup", "check", "serve", "top", "config", "backup", "restore", "doctor"),
        *("completion", "man", "image"),
    }
