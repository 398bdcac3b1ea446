"""``docs/security.md`` names what enforces and what tests each claim: they exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (REPOSITORY / "docs/security.md").read_text()
CLAIMS: Final = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and line.count("|") == 4 and "`tests/" in line
]
CODE: Final = re.compile(r"`([^`]+)`")


def test_the_page_has_claims() -> None:
    assert len(CLAIMS) > 20


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim[0][:40])
def test_a_claim_is_enforced_and_tested(claim: list[str]) -> None:
    _, enforced, tested = claim
    modules, tests = CODE.findall(enforced), CODE.findall(tested)

    assert modules
    assert tests
    for module in modules:
        assert (REPOSITORY / module).is_file(), module
    for test in tests:
        path, _, name = test.partition("::")
        text = (REPOSITORY / path).read_text()
        assert f"def {name or 'test_'}" in text, test
