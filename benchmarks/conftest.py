"""``pytest benchmarks/``: options, and one test for each target at each cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapfs.benchmarks.backing import Backing, best_available
from snapfs.benchmarks.exclusive import only_one
from snapfs.benchmarks.protocols import Profile
from snapfs.benchmarks.results import Comparison
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.selection import Unit
from snapfs.benchmarks.suite import Request, Suite
from snapfs.benchmarks.targets import TARGETS
from snapfs.errors import FailedPreconditionError

SUITE = pytest.StashKey[Suite]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``snapfs bench run`` that make sense here."""
    group = parser.getgroup("snapfs benchmarks")
    group.addoption("--suite-profile", default="quick", choices=list(Profile))
    group.addoption("--suite-only", default="", help="scenarios, with commas")
    group.addoption("--suite-targets", default="", help="targets, with commas")
    group.addoption("--suite-seed", default=1, type=int)
    group.addoption("--suite-backing", default="", choices=["", *Backing])


def _suite(config: pytest.Config) -> Suite:
    """Return the suite of this session; building it measures nothing."""
    if SUITE not in config.stash:
        backing = config.getoption("--suite-backing")
        request = Request(
            profile=Profile(config.getoption("--suite-profile")),
            only=tuple(filter(None, config.getoption("--suite-only").split(","))),
            targets=tuple(filter(None, config.getoption("--suite-targets").split(","))),
            seed=config.getoption("--suite-seed"),
            backing=Backing(backing) if backing else best_available(),
        )
        config.stash[SUITE] = Suite(request, TARGETS, SCENARIOS)
    return config.stash[SUITE]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each target at each cell, cell by cell."""
    if "target_name" not in metafunc.fixturenames:
        return
    metafunc.parametrize(
        ("unit", "target_name"),
        [
            pytest.param(unit, name, id=f"{unit.name}-{name}".replace(" ", "-"))
            for unit in _suite(metafunc.config).units()
            for name in unit.targets
        ],
    )


class Measured:
    """Makes each comparison when the first of its tests asks."""

    def __init__(self, suite: Suite, lock: Path) -> None:
        self._suite = suite
        self._lock = lock
        self._done: dict[str, Comparison | str] = {}

    def get(self, unit: Unit) -> Comparison:
        """Return the comparison; skips the test if it cannot be made here."""
        if unit.name not in self._done:
            try:
                with only_one(self._lock):
                    self._done[unit.name] = self._suite.compare(unit)
            except FailedPreconditionError as error:
                self._done[unit.name] = str(error)
        found = self._done[unit.name]
        if isinstance(found, str):
            pytest.skip(found)
        return found


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Measured:
    """Return the comparisons of this session."""
    return Measured(_suite(pytestconfig), Request().lock)
