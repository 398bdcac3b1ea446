"""What is committed of a run: complete, small; what the README says is in it."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest

from snapfs.benchmarks.html.collection import Collection, collect
from snapfs.benchmarks.html.families import Standing, standings
from snapfs.benchmarks.results import decode, load
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.summary import kept_blocks
from snapfs.benchmarks.verdicts import Verdict
from snapfs.benchmarks.wording import factor

REPOSITORY = Path(__file__).parents[2]
PLACE = REPOSITORY / "docs/benchmarks"
FILES = sorted(PLACE.glob("*.json.gz"))


@pytest.fixture(scope="module")
def collection() -> Collection:
    return collect([load(file) for file in FILES])


@pytest.fixture(scope="module")
def found(collection: Collection) -> dict[tuple[str, str], Standing]:
    return {
        (scenario, each.target): each
        for scenario, entries in collection.scenarios.items()
        for each in standings(entries)
    }


def test_the_page_holds_the_results_that_lie_beside_it() -> None:
    page = (PLACE / "report.html").read_text()

    packed = re.findall(r"<script type=\"application/gzip\"[^>]*>([^<]*)<", page)
    runs = [decode(gzip.decompress(base64.b64decode(each))) for each in packed]

    assert runs == [load(file) for file in FILES]
    assert sum(file.stat().st_size for file in PLACE.iterdir()) < 3_000_000


def test_ten_targets_and_more_were_timed_and_every_other_has_a_reason(
    collection: Collection,
) -> None:
    assert len(collection.timed) >= 10
    assert set(collection.scenarios) <= set(SCENARIOS)
    for entry in collection.entries:
        each = entry.comparison
        assert len(kept_blocks(each.blocks)) >= 6
        assert all(each.rejected.values())
        assert all(each.refused.values())


def test_the_table_of_the_readme_has_the_numbers_of_the_run(
    found: dict[tuple[str, str], Standing],
) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    table = re.findall(r"^\| `([a-z_]+)` \|(.*)\|$", readme, re.MULTILINE)
    (head,) = re.findall(r"^\| time over [^|]*\|(.*)\|$", readme, re.MULTILINE)
    columns = [cell.strip(" `") for cell in head.split("|")]

    numbers = 0
    for scenario, row in table:
        if scenario not in SCENARIOS:
            continue
        for target, cell in zip(columns, row.split("|"), strict=True):
            standing = found.get((scenario, target))
            if cell.strip() in ("n/a", "1"):
                assert standing is None
                continue
            assert standing is not None, (scenario, target)
            bold = standing.verdict is not Verdict.SAME
            ends = f"({factor(standing.low)}-{factor(standing.high)})"
            shown = f"**{factor(standing.ratio)}**" if bold else factor(standing.ratio)
            assert cell.strip() == f"{shown} {ends}", (scenario, target)
            numbers += 1
    assert numbers >= 20
