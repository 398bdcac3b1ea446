"""All rules, and one run of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from snapfs.inspect.findings import Checked, Finding, Rule, Severity
from snapfs.inspect.inspection import Inspection
from snapfs.inspect.lint import config_rules, layer_rules, secret_rules, tree_rules
from snapfs.inspect.lint.subject import Checker, Subject
from snapfs.inspect.waste import Waste

CHECKERS: Final[tuple[Checker, ...]] = tuple(
    sorted(
        (
            *secret_rules.CHECKERS,
            *config_rules.CHECKERS,
            *layer_rules.CHECKERS,
            *tree_rules.CHECKERS,
        ),
        key=lambda checker: list(Severity).index(checker.rule.severity),
    )
)
"""The worst first."""

RULES: Final[dict[str, Rule]] = {checker.rule.id: checker.rule for checker in CHECKERS}

_NO_DOCUMENTS: Final = "there is no image, only directories"


def lint(
    inspection: Inspection,
    ignored: Collection[str] = (),
    waste: list[Waste] | None = None,
) -> Checked:
    """Check an image by all rules but those of the ids in ``ignored``.

    Who knows the image's ``waste`` already spares finding it again.

    Raises:
        SnapfsError: A content that a rule needs cannot be read.
    """
    subject = Subject(inspection, waste)
    rules: list[Rule] = []
    findings: list[Finding] = []
    skipped = dict.fromkeys(ignored, "ignored")
    for rule, check, needs_image in CHECKERS:
        if rule.id in skipped:
            continue
        if needs_image and inspection.image is None:
            skipped[rule.id] = _NO_DOCUMENTS
            continue
        rules.append(rule)
        findings += check(subject)
    return Checked(tuple(rules), tuple(findings), skipped)
