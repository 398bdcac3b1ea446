"""``cleanup`` and ``check``: keeping a store in order."""

from __future__ import annotations

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.shapes import finding_shape, garbage_shape
from snapfs.cli.wording import counted, human_bytes
from snapfs.model import Severity


@click.command(
    cls=Command,
    short_help="Reclaim what nobody needs.",
    epilog=examples("snapfs cleanup --dry-run", "snapfs cleanup"),
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@pass_session
def cleanup(session: Session, dry_run: bool) -> None:
    """Remove the directories that no snapshot needs; say why, and how much it was.

    Returns once the files are gone. With --json: one object a line.
    """
    with session.store() as store:
        found = store.reclaim(dry_run=dry_run)
    if session.output.as_json:
        session.output.records(map(garbage_shape, found))
        return
    rows = [
        ("-" if i.usage is None else human_bytes(i.usage.size_bytes), i.path, i.reason)
        for i in found
    ]
    if rows:
        session.output.table((">SIZE", "PATH", "WHY"), rows)
    total = sum(item.usage.size_bytes for item in found if item.usage)
    verb = "would be reclaimed" if dry_run else "reclaimed"
    number = counted(len(found), "directory", "directories")
    session.output.note(f"{number}, {human_bytes(total)} {verb}")


@click.command(
    cls=Command,
    short_help="Compare the store with the disk.",
    epilog=examples("snapfs check", "snapfs check --json"),
)
@click.pass_context
@pass_session
def check(session: Session, ctx: click.Context) -> None:
    """Compare the metadata with itself and with the disk; change nothing.

    With --json: one finding a line.
    The exit code is 7 if data or a promise of the contract is lost, and 0 where
    there are warnings at most.
    """
    with session.store() as store:
        findings = store.check()
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
