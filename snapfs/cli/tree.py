"""``tree``: which snapshot stands on which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from snapfs.cli.lazy import Command, examples
from snapfs.cli.output import speaks_unicode
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import info_shape
from snapfs.model import Info

_UNICODE = ("├── ", "└── ", "│   ")
_ASCII = ("|-- ", "`-- ", "|   ")


@click.command(
    cls=Command,
    short_help="Show which snapshot stands on which.",
    epilog=examples("snapfs tree"),
)
@pass_session
def tree(session: Session) -> None:
    """Show the snapshots as a tree: children below their parents."""
    with session.store() as store:
        infos = sorted(store.walk(), key=lambda info: (info.created_ns, info.name))
    children = _by_parent(infos)
    if session.output.as_json:
        # A JSON array of nested objects would end at Python's recursion limit.
        session.output.document(
            [
                {**info_shape(info), "children": [c.name for c in children[info.name]]}
                for info in infos
            ]
        )
        return
    for text in _lines(children, _UNICODE if speaks_unicode() else _ASCII):
        session.output.line(text)


def _by_parent(infos: Sequence[Info]) -> Mapping[str, list[Info]]:
    """Return the children of each name; "" has those that stand on nothing.

    So does one whose parent is not there (a damaged store, or one that is being
    changed): it must not vanish from the picture.
    """
    names = {info.name for info in infos}
    children: dict[str, list[Info]] = {name: [] for name in ("", *names)}
    for info in infos:
        children[info.parent if info.parent in names else ""].append(info)
    return children


def _lines(
    children: Mapping[str, list[Info]], strokes: tuple[str, str, str]
) -> Iterator[str]:
    """Draw the forest with a stack of its own: chains can be 500 deep."""
    branch, last, trunk = strokes
    stack = [(info, "", "") for info in reversed(children[""])]
    while stack:
        info, lead, indent = stack.pop()
        yield f"{lead}{info.name} ({info.kind})"
        below = children[info.name]
        for child in reversed(below):
            is_last = child is below[-1]
            stack.append(
                (
                    child,
                    indent + (last if is_last else branch),
                    indent + ("    " if is_last else trunk),
                )
            )
