"""What a check of an image comes to, whatever was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; in SARIF's words, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked for.

    Attributes:
        id: Stable; pipelines and exceptions name it.
        severity: Of each of its findings.
        summary: What is wrong, as a sentence without a full stop.
        fix: What to do about it, as a sentence without a full stop.
    """

    id: str
    severity: Severity
    summary: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach of a rule.

    Attributes:
        message: What is the matter, here; one line.
        path: Where in the image, without a leading slash; None for the image itself.
        layer: Which layer brought it, from 1; None if none did.
    """

    rule: Rule
    message: str
    path: bytes | None = None
    layer: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome.

    Attributes:
        rules: All that were checked.
        findings: The worst first; none if all is well.
        skipped: Rules that were not checked, by id, and why.
    """

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def has(self, severity: Severity) -> bool:
        """Tell whether there is a finding of ``severity``, or a worse one."""
        order = list(Severity)
        bad = order[: order.index(severity) + 1]
        return any(finding.rule.severity in bad for finding in self.findings)
