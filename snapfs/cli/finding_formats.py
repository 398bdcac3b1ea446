"""Findings in the forms that pipelines read: JUnit, SARIF, GitHub's annotations."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from enum import StrEnum
from typing import Final

from snapfs import __version__
from snapfs.cli.image_shapes import json_path, shown_path
from snapfs.cli.wording import one_line
from snapfs.inspect.findings import Checked, Finding, Rule, Severity


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"


_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(checked: Checked, source: str) -> str:
    """Return a SARIF 2.1.0 log.

    A path of the image is the location of its finding; the image's name is that of
    all else. The same finding of the same image has the same fingerprint.
    """
    rules = list(checked.rules)
    run = {
        "tool": {
            "driver": {
                "name": "snapfs",
                "version": __version__,
                "rules": [_sarif_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [
            _sarif_result(finding, rules.index(finding.rule), source)
            for finding in checked.findings
        ],
    }
    log = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _sarif_rule(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "shortDescription": {"text": f"{rule.summary}."},
        "help": {"text": f"{rule.fix}."},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _sarif_result(finding: Finding, number: int, source: str) -> dict[str, object]:
    place = {"artifactLocation": {"uri": _uri(finding, source)}}
    where = [f"{source}"]
    if finding.layer is not None:
        where.append(f"layer {finding.layer}")
    if finding.path is not None:
        where.append(json_path(finding.path))
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": number,
        "level": finding.rule.severity.value,
        "message": {"text": f"{finding.message}. {finding.rule.fix}."},
        "locations": [
            {
                "physicalLocation": {**place, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": " ".join(where)}],
            }
        ],
        "partialFingerprints": {"snapfs/v1": _fingerprint(finding)},
    }


def _uri(finding: Finding, source: str) -> str:
    if finding.path is None:
        return urllib.parse.quote(source)
    return urllib.parse.quote(finding.path)


def _fingerprint(finding: Finding) -> str:
    import hashlib

    # Without the message: its numbers may change, and it is the same finding still.
    path = b"" if finding.path is None else b"/" + finding.path
    text = b"%s\0%s\0%d" % (finding.rule.id.encode(), path, finding.layer or 0)
    return hashlib.sha256(text).hexdigest()[:32]


def junit(checked: Checked, source: str, suite: str) -> str:
    """Return a JUnit report: a test case for each rule."""
    from xml.sax.saxutils import escape, quoteattr

    cases = []
    failures = 0
    for rule in checked.rules:
        found = [f for f in checked.findings if f.rule == rule]
        name = f'    <testcase classname="snapfs.{suite}" name={quoteattr(rule.id)}'
        if not found:
            cases.append(f"{name}/>")
            continue
        failures += 1
        lines = "\n".join(_xml_text(_line(finding)) for finding in found)
        kind = quoteattr(rule.severity.value)
        cases.append(
            f"{name}>\n      <failure type={kind} message={quoteattr(rule.summary)}>"
            f"{escape(lines)}</failure>\n    </testcase>"
        )
    for rule_id, reason in checked.skipped.items():
        cases.append(
            f'    <testcase classname="snapfs.{suite}" name={quoteattr(rule_id)}>\n'
            f"      <skipped message={quoteattr(reason)}/>\n    </testcase>"
        )
    tests = len(checked.rules) + len(checked.skipped)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
        f'  <testsuite name={quoteattr(_xml_text(source))} tests="{tests}"'
        f' failures="{failures}" errors="0" skipped="{len(checked.skipped)}">\n'
        + "\n".join(cases)
        + "\n  </testsuite>\n</testsuites>\n"
    )


# What XML 1.0 has no way to write (section 2.2), and what is no text at all.
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml_text(text: str) -> str:
    return _NO_XML.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _line(finding: Finding) -> str:
    where = "" if finding.path is None else f"{shown_path(finding.path)}: "
    layer = "" if finding.layer is None else f" (layer {finding.layer})"
    return one_line(f"{where}{finding.message}{layer}")


_COMMANDS: Final = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}


def github(checked: Checked) -> str:
    """Return GitHub's workflow commands: an annotation for each finding."""
    lines = []
    for finding in checked.findings:
        title = _property(f"snapfs {finding.rule.id}")
        message = _data(f"{_line(finding)}. {finding.rule.fix}.")
        command = _COMMANDS[finding.rule.severity]
        lines.append(f"::{command} title={title}::{message}\n")
    return "".join(lines)


def _data(text: str) -> str:
    """Escape as GitHub's toolkit does: nothing of an image may begin a command."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
