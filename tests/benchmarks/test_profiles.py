"""Profiles choose among the cells of scenarios; every choice is of cells that exist."""

from __future__ import annotations

import pytest

from snapfs.benchmarks import profiles
from snapfs.benchmarks.placement import Placement
from snapfs.benchmarks.profiles import asks, cell_words, cells_of
from snapfs.benchmarks.protocols import Profile
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.scenarios.mount_latency import MountLatency
from snapfs.benchmarks.scenarios.narrowed import Narrowed
from snapfs.benchmarks.scenarios.unpack_throughput import UnpackThroughput
from snapfs.benchmarks.selection import breadth_first, plan_units, select_cells
from snapfs.benchmarks.targets import TARGETS
from snapfs.errors import InvalidArgumentError

CHOICES = [
    pytest.param(profile, scenario, words, id=f"{profile}-{scenario}-{words}")
    for profile, choice in profiles._CHOICES.items()
    for scenario, each in choice.items()
    for words in each
]


@pytest.mark.parametrize(("profile", "scenario", "words"), CHOICES)
def test_every_choice_is_of_cells_that_the_scenario_has(
    profile: Profile, scenario: str, words: str
) -> None:
    wanted = set(words.split())

    cells = SCENARIOS[scenario].cells(profile)

    assert any(wanted <= cell_words(cell) for cell in cells)


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_asks_no_cell_that_its_scenario_does_not_have(
    profile: Profile,
) -> None:
    for scenario in SCENARIOS.values():
        every = scenario.cells(profile)
        chosen = cells_of(scenario, profile)

        assert [cell for cell in chosen if cell not in every] == []
        assert bool(chosen) is bool(every)


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_asks_the_baseline_of_every_scenario(profile: Profile) -> None:
    for scenario in SCENARIOS.values():
        assert asks(profile, scenario.baselines[0])


def test_targets_that_a_profile_asks_by_name_only_exist() -> None:
    for names in profiles._NOT_ASKED.values():
        assert names <= TARGETS.keys()


def test_the_standard_profile_draws_curves() -> None:
    curves = {
        "copy_up_latency": "size_bytes",
        "lookup_latency": "depth",
        "mount_latency": "depth",
        "tree_preparation": "files",
        "layer_writing": "files",
    }
    for scenario, parameter in curves.items():
        cells = cells_of(SCENARIOS[scenario], Profile.STANDARD)

        assert len({cell.parameters[parameter] for cell in cells}) > 2, scenario


def test_profiles_grow() -> None:
    asked = [
        sum(len(cells_of(scenario, profile)) for scenario in SCENARIOS.values())
        for profile in (Profile.QUICK, Profile.STANDARD, Profile.FULL)
    ]

    assert asked == sorted(asked)
    assert asked[0] <= 30  # minutes, not hours
    assert asked[1] <= 100


def test_cells_asked_for_by_their_words_need_not_be_of_the_profile() -> None:
    mounts = MountLatency()

    short = plan_units([mounts], {}, Profile.QUICK)
    whole = plan_units([mounts], {}, Profile.QUICK, is_whole=True)

    own = [unit for unit in whole if not unit.is_further]
    assert len(short) < len(own) == len(mounts.cells(Profile.QUICK))


def test_cells_of_other_profiles_are_asked_where_the_profile_has_none_like_them() -> (
    None
):
    units = plan_units([UnpackThroughput()], {}, Profile.QUICK, is_whole=True)

    (own,) = select_cells(units, ["layers=1"])
    (further,) = select_cells(units, ["files=60000 layers=1 compression=zstd"])

    assert own.cell.parameters["files"] == 2000
    assert further.cell.parameters["files"] == 60_000
    with pytest.raises(InvalidArgumentError, match="no cell here has"):
        select_cells(units, ["files=1"])


def test_commands_that_unpack_have_all_cpus() -> None:
    units = plan_units([UnpackThroughput()], {}, Profile.FULL)

    assert {unit.placement for unit in units} == {Placement.FREE}


def test_a_scenario_with_cells_of_its_own_is_not_narrowed_again() -> None:
    cell = MountLatency().cells(Profile.FULL)[-1]
    narrowed = Narrowed(MountLatency(), [cell], ())

    assert [unit.cell for unit in plan_units([narrowed], {}, Profile.QUICK)] == [cell]


def test_something_of_every_question_is_measured_first() -> None:
    units = plan_units([*SCENARIOS.values()], {}, Profile.STANDARD)

    order = [units[place].scenario.name for place in breadth_first(units)]

    asked = {unit.scenario.name for unit in units}
    assert set(order[: len(asked)]) == asked
    assert len(order) == len(units)
