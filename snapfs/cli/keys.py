"""The argument types for keys and labels, with shell completion."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from snapfs.cli.session import Library, default_root
from snapfs.errors import SnapfsError


class KeyType(click.ParamType):  # type: ignore[type-arg]  # generic since 8.3
    """The key or name of a snapshot; completes to those that exist."""

    name = "key"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the keys that begin with ``incomplete``; none if all fails.

        Completion runs on every press of a key: it must never complain.
        """
        options = ctx.find_root().params
        root = options.get("root") or default_root()[0]
        library = Library()
        with (
            contextlib.suppress(SnapfsError, OSError),
            library.open_store(root, "auto", False) as store,
        ):
            return [
                CompletionItem(info.name, help=str(info.kind))
                for info in store.walk()
                if info.name.startswith(incomplete)
            ]
        return []


class WhatType(KeyType):
    """A key, or what else can be mounted; completes to keys, and paths to files."""

    name = "what"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return keys, or leave a path to the shell."""
        if incomplete.startswith(("/", ".")):
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, param, incomplete)


KEY = KeyType()
WHAT = WhatType()


def parse_labels(words: Sequence[str], *, may_delete: bool = False) -> dict[str, str]:
    """Return the labels that ``K=V`` words spell; ``K=`` is K with "".

    Raises:
        click.BadParameter: A word has no ``=``, no key, or deletes where nothing
            can be deleted.
    """
    labels: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{word!r} is not of the form KEY=VALUE")
        if not value and not may_delete:
            raise click.BadParameter(f"label {key!r} has no value")
        labels[key] = value
    return labels
