"""``check``: the store against itself, the disk, and its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import finding_shape
from snapfs.cli.wording import counted
from snapfs.errors import FailedPreconditionError
from snapfs.model import Finding, Severity

if TYPE_CHECKING:
    from snapfs.assembly.content_check import DeepCheck


@click.command(
    cls=Command,
    short_help="Compare the store with the disk.",
    epilog=examples(
        "snapfs check",
        "snapfs check --json",
        "snapfs check --repair",
        "snapfs check --deep",
        "snapfs check --deep --repair --from oci:DIR",
    ),
)
@click.option(
    "--repair",
    "is_repair",
    is_flag=True,
    help="First make a lost or damaged database anew from the snapshots themselves;"
    " with --deep also damaged files, from the image's blobs.",
)
@click.option(
    "--deep",
    "is_deep",
    is_flag=True,
    help="Compare each file of the layers with what its layer's tar says.",
)
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    default="",
    help="With --deep: an image whose layers are read, so that content counts too.",
)
@click.pass_context
@pass_session
def check(
    session: Session, ctx: click.Context, is_repair: bool, is_deep: bool, source: str
) -> None:
    """Compare the metadata with itself and with the disk; change nothing.

    With --json: one finding a line.
    The exit code is 7 if data or a promise of the contract is lost, and 0 where
    there are warnings at most.

    --repair works while nobody uses the store, and leaves one alone that can be
    opened. The damaged database is kept under another name; what could not be taken
    in lies in ROOT/lost.

    --deep looks at every file of each committed layer, at the lowest priority, while
    others use the store; each that is damaged is a finding. With --repair and --from
    it is made anew from the image's blob.
    """
    if source and not is_deep:
        raise click.UsageError("--from goes with --deep")
    if is_repair:
        _repair(session, may_be_in_use=is_deep)
    with session.store() as store:
        findings = store.check()
    if is_deep:
        session.library.give_way()
        deep = _check_contents(session, source, is_repair)
        findings += deep.findings
        _tell(session, deep)
    _show(session, ctx, findings)


def _show(session: Session, ctx: click.Context, findings: Sequence[Finding]) -> None:
    if session.output.as_json:
        session.output.records(map(finding_shape, findings))
    elif findings:
        rows = [(str(f.severity), f.code, f.subject, f.detail) for f in findings]
        session.output.table(("SEVERITY", "CODE", "SUBJECT", "DETAIL"), rows)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    session.output.note(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        if findings
        else "every invariant holds"
    )
    if errors:
        ctx.exit(ExitCode.DATA_LOSS)


def _check_contents(session: Session, source: str, is_repair: bool) -> DeepCheck:
    # Here: reading images takes a while to load.
    from snapfs.assembly.content_check import ContentCheck
    from snapfs.cli.image_sources import open_image_source, read_source
    from snapfs.image.resolve import open_image

    if not source:
        return ContentCheck(session.store).run(repair=is_repair)
    with open_image_source(read_source(session, source)) as opened:
        layers = open_image(opened).layers
        return ContentCheck(session.store, opened, layers).run(repair=is_repair)


def _tell(session: Session, deep: DeepCheck) -> None:
    """Say how far the look at the contents went."""
    layers = counted(deep.compared, "layer")
    text = f"{layers} compared name by name, {deep.read} of them with the content too"
    if deep.unknown:
        text += f"; of {deep.unknown} more nothing says what they should hold"
    session.output.note(text)
    if deep.renewed:
        session.output.note(f"{counted(deep.renewed, 'damaged name')} made anew")


def _repair(session: Session, *, may_be_in_use: bool) -> None:
    try:
        done = session.library.repair(session.root)
    except FailedPreconditionError:
        # Who owns the root has opened the database, which is sound then.
        if not may_be_in_use:
            raise
        return
    if done is None:
        session.output.note("the database is sound; nothing to repair")
        return
    for line in done.left_out:
        session.output.note(f"left out: {line}")
    kept = f"; the damaged one is {done.kept}" if done.kept else ""
    number = counted(done.snapshots, "snapshot")
    session.output.note(f"the database was made anew with {number}{kept}")
