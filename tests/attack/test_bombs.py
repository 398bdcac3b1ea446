"""Bombs: whatever they claim, memory and disk stay within bounds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

import pytest
from attack.bombs import BOMBS
from attack.canaries import Surroundings

from support.sandbox import REPOSITORY

# What all of an unpack may take.
_MEMORY_BYTES: Final = 200 << 20


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory_and_disk(name: str, place: Surroundings) -> None:
    bomb = BOMBS[name]
    path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "tests")))
    before = place.photograph()

    done = subprocess.run(
        [sys.executable, "-m", "attack.bombed", name, place.staging],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert (result["refusal"], bomb.says in result["message"]) == (bomb.refusal, True)
    assert result["memory_bytes"] < _MEMORY_BYTES
    assert result["disk_bytes"] <= bomb.disk_bytes
    assert result["inodes"] <= bomb.limits.entries
    assert place.photograph() == before
