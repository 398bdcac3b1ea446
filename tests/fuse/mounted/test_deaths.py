"""A server is killed again and again; who uses its mount notices a pause at most."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fuse_mounts import mounted_union
from support.keeper import killing
from support.random_tree import Pair, populate, snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.root]


def _trees(tmp_path: Path, seed: int) -> tuple[Path, ...]:
    names = ("lower", "upper", "work", "merged", "plain")
    made = tuple(tmp_path / name for name in names)
    for path in made:
        path.mkdir()
    populate((made[0], made[4]), seed)
    return made


def _change_under_fire(tmp_path: Path, seed: int, kills: int, mode: str) -> None:
    lower, upper, work, merged, plain = _trees(tmp_path, seed)
    before = snapshot(lower)
    with mounted_union([lower], upper, work, merged, (f"mode={mode}",)) as mounted:
        pair = Pair(merged, plain, seed)
        try:
            with killing(mounted.process.pid, seed) as killings:
                while killings.done < kills:
                    pair.step()
            pair.compare()
        finally:
            pair.close()

    assert snapshot(lower) == before
    assert list((work / "work").iterdir()) == []


@pytest.mark.parametrize("mode", ["fast", "io"])
def test_random_changes_are_as_on_a_plain_directory(tmp_path: Path, mode: str) -> None:
    _change_under_fire(tmp_path, seed=1, kills=10, mode=mode)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["fast", "io"])
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_hundred_deaths_change_nothing(tmp_path: Path, mode: str, seed: int) -> None:
    _change_under_fire(tmp_path, seed=seed, kills=100, mode=mode)
