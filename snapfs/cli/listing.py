"""Looking at snapshots: ls, info."""

from __future__ import annotations

import time
from typing import Final

import click

from snapfs.cli.keys import KEY
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session, suggesting
from snapfs.cli.shapes import details_shape
from snapfs.cli.wording import age, human_bytes, timestamp
from snapfs.model import IdMaps, SnapshotDetails, Usage

# A label's value: from when on it is cut for people, and to how much.
_LONG_VALUE: Final = 200
_SHOWN_VALUE: Final = 40


@click.command(
    cls=Command,
    name="ls",
    short_help="List the snapshots.",
    epilog=examples(
        "snapfs ls",
        "snapfs ls -f kind==active -f 'name~=^sha256:'",
        "snapfs ls --json | jq -r .name",
    ),
)
@click.option(
    "-f",
    "--filter",
    "filters",
    metavar="FILTER",
    multiple=True,
    help="Only what matches; containerd's filter language. Several: any of them.",
)
@pass_session
def list_snapshots(session: Session, filters: tuple[str, ...]) -> None:
    """List the snapshots of every owner. With --json: one object a line.

    A filter compares 'name', 'parent', 'kind' and 'labels.NAME' by ==, != or ~= (a
    regular expression); a comma means "and".
    """
    now_ns = time.time_ns()
    with session.store() as store:
        found = store.list_details(filters)
        if session.output.as_json:
            session.output.records(map(details_shape, found))
            return
        rows = [
            (
                details.info.name,
                details.info.parent or "-",
                str(details.info.kind),
                str(details.owner),
                age(details.info.created_ns, now_ns),
                "-" if details.usage is None else human_bytes(details.usage.size_bytes),
            )
            for details in found
        ]
    session.output.table(("KEY", "PARENT", "KIND", "OWNER", ">AGE", ">SIZE"), rows)


@click.command(
    cls=Command,
    short_help="Show all about one snapshot.",
    epilog=examples("snapfs info work", "snapfs info work --json | jq .labels"),
)
@click.argument("key", type=KEY)
@pass_session
def info(session: Session, key: str) -> None:
    """Show all that the store knows about the snapshot KEY."""
    with session.store() as store, suggesting(store, key):
        details = store.details(key)
    if session.output.as_json:
        session.output.document(details_shape(details))
        return
    facts = _facts(details)
    width = max(len(name) for name, _ in facts) + 1
    for name, value in facts:
        session.output.line(f"{name + ':':{width}} {value}")


def _facts(details: SnapshotDetails) -> list[tuple[str, str]]:
    known = details.usage
    return [
        ("key", details.info.name),
        ("parent", details.info.parent or "-"),
        ("kind", str(details.info.kind)),
        ("owner", str(details.owner)),
        ("created", timestamp(details.info.created_ns)),
        ("updated", timestamp(details.info.updated_ns)),
        ("driver", details.driver),
        ("durability", str(details.durability)),
        ("usage", "not measured yet" if known is None else _usage_text(known)),
        *_owner_facts(details.id_maps),
        ("directory", details.directory),
        *(("lowerdir", lowerdir) for lowerdir in details.lowerdirs),
        *(
            ("label", f"{name}={_shortened(value)}")
            for name, value in sorted(details.info.labels.items())
        ),
    ]


def _owner_facts(id_maps: IdMaps | None) -> list[tuple[str, str]]:
    if id_maps is None:
        return []
    return [("users", id_maps.uids), ("groups", id_maps.gids)]


def _shortened(value: str) -> str:
    """Return a label's value as a person wants to see it: no pages of it."""
    if len(value) <= _LONG_VALUE:
        return value
    return f"{value[:_SHOWN_VALUE]}... ({len(value)} characters; --json shows all)"


def _usage_text(usage: Usage) -> str:
    return f"{human_bytes(usage.size_bytes)} in {usage.inodes} inodes"
