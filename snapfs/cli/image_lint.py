"""``image lint``: mistakes in an image, by rules."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from typing import Final

import click

from snapfs.cli.exit_codes import ExitCode
from snapfs.cli.finding_formats import Format, github, junit, sarif
from snapfs.cli.image_opening import inspecting, platform_option
from snapfs.cli.image_progress import ReadingProgress
from snapfs.cli.image_shapes import json_path, shown_path
from snapfs.cli.lazy import Command, examples
from snapfs.cli.session import Session, pass_session
from snapfs.cli.wording import counted, did_you_mean
from snapfs.errors import InvalidArgumentError
from snapfs.inspect.findings import Checked, Finding, Severity
from snapfs.inspect.lint import RULES, lint

_NEVER: Final = "never"
_SHOWN: Final = 10
"""Findings of one rule that are printed as text."""


@click.command(
    "lint",
    cls=Command,
    short_help="Find mistakes in an image.",
    epilog=examples(
        "snapfs image lint oci:DIR",
        "snapfs image lint --ignore 'setuid-file:/usr/bin/*' oci:DIR",
        "snapfs image lint --only private-key --only stored-credentials oci:DIR",
        "snapfs image lint --fail-on warning --format sarif oci:DIR >lint.sarif",
    ),
)
@click.argument("source", metavar="SOURCE")
@click.option(
    "--ignore",
    "ignored",
    metavar="RULE[:PATTERN]",
    multiple=True,
    help="Leave out a rule, or its findings on paths that match the shell pattern.",
)
@click.option(
    "--only",
    metavar="RULE",
    multiple=True,
    help="Check this rule, and no other that is not named so. May be given often.",
)
@click.option(
    "--fail-on",
    "worst",
    type=click.Choice([*(s.value for s in Severity), _NEVER]),
    default=Severity.ERROR.value,
    help="Exit with 1 on findings as bad as this. Default: error.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    default=Format.TEXT.value,
    help="How to print it. Default: text.",
)
@platform_option
@pass_session
def lint_image(
    session: Session,
    source: str,
    ignored: tuple[str, ...],
    only: tuple[str, ...],
    worst: str,
    form: str,
    platform: str | None,
) -> None:
    """Check SOURCE for what makes images fail, leak, or weigh too much.

    Each finding names its rule; docs/lint.md explains each. Files are read only where
    a name or a size gives a reason to.
    """
    rules, patterns = _exceptions(ignored)
    if only:
        _check(*only)
        rules += [rule for rule in RULES if rule not in only]
    with (
        ReadingProgress(session.output, "reading contents", None) as reading,
        inspecting(session, source, platform, reading) as inspection,
    ):
        checked = lint(inspection, rules)
    kept = [f for f in checked.findings if not _is_excepted(f, patterns)]
    checked = Checked(checked.rules, tuple(kept), checked.skipped)
    _print(session, Format(form), source, checked)
    if worst != _NEVER and checked.has(Severity(worst)):
        click.get_current_context().exit(ExitCode.FAILED)


def _exceptions(ignored: tuple[str, ...]) -> tuple[list[str], list[tuple[str, bytes]]]:
    rules, patterns = [], []
    for text in ignored:
        rule, colon, pattern = text.partition(":")
        _check(rule)
        if colon:
            patterns.append((rule, os.fsencode(pattern)))
        else:
            rules.append(rule)
    return rules, patterns


def _check(*rules: str) -> None:
    for rule in rules:
        if rule not in RULES:
            raise InvalidArgumentError(
                f"there is no rule {rule!r}{did_you_mean(rule, list(RULES))}"
            )


def _is_excepted(finding: Finding, patterns: list[tuple[str, bytes]]) -> bool:
    path = b"/" + (finding.path or b"")
    return any(
        finding.rule.id == rule and fnmatch.fnmatchcase(path, pattern)
        for rule, pattern in patterns
    )


def _print(session: Session, form: Format, source: str, checked: Checked) -> None:
    if session.output.as_json or form is Format.JSON:
        session.output.records(map(_shape, checked.findings))
        return
    match form:
        case Format.JUNIT:
            session.output.raw(junit(checked, source, "lint"))
        case Format.SARIF:
            session.output.raw(sarif(checked, source))
        case Format.GITHUB:
            session.output.raw(github(checked))
        case _:
            _text(session, checked)


def _text(session: Session, checked: Checked) -> None:
    for rule in checked.rules:
        found = [f for f in checked.findings if f.rule == rule]
        if not found:
            continue
        session.output.line(f"{rule.severity.value}: {rule.summary} [{rule.id}]")
        for finding in found[:_SHOWN]:
            session.output.line(f"  {_line(finding)}")
        if len(found) > _SHOWN:
            session.output.line(f"  and {len(found) - _SHOWN} more; --json lists all")
        session.output.line(f"  fix: {rule.fix}")
    counts = Counter(finding.rule.severity for finding in checked.findings)
    told = [counted(counts[s], s.value) for s in Severity if counts[s]]
    rules = counted(len(checked.rules), "rule")
    session.output.line(f"{', '.join(told) or 'nothing found'} ({rules})")


def _line(finding: Finding) -> str:
    if finding.path is None:
        return finding.message
    layer = "" if finding.layer is None else f" (layer {finding.layer})"
    return f"{shown_path(finding.path)}{layer}: {finding.message}"


def _shape(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule.id,
        "severity": finding.rule.severity.value,
        "path": None if finding.path is None else json_path(finding.path),
        "layer": finding.layer,
        "message": finding.message,
        "fix": finding.rule.fix,
    }
