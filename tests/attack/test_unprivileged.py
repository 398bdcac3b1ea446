"""The escapes again, by a user without privileges who owns all that is aimed at.

Root's checks are not what protects the canaries here, and neither are modes: the user
may write to each of them.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from attack.applying import unaimed
from attack.canaries import Surroundings
from attack.catalogue import ESCAPES

from support.sandbox import REPOSITORY
from support.unprivileged import NOBODY, as_nobody


@pytest.mark.root
def test_no_escape_works_for_an_unprivileged_user_either(
    open_place: Surroundings,
) -> None:
    open_place.give_to(NOBODY)
    command = as_nobody(open_place.root)
    words = command.words[: command.words.index("--") + 2]
    path = os.pathsep.join(
        (command.environment["PYTHONPATH"], str(REPOSITORY / "tests"))
    )
    before = open_place.photograph()

    done = subprocess.run(
        [*words, "-m", "attack.as_nobody", open_place.staging, open_place.canaries],
        env=command.environment | {"PYTHONPATH": path},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert open_place.photograph() == before
    assert list(open_place.staging.iterdir()) == []
    outcomes = json.loads(done.stdout)
    assert outcomes.keys() == {attack.id for attack in ESCAPES}
    for attack in ESCAPES:
        outcome = outcomes[attack.id]
        if attack.error is not None:
            assert outcome[0] == attack.error.__name__, attack.id
            assert attack.says in outcome[1]
        elif outcome:
            shown = {p: unaimed(t, open_place.canaries) for p, t in outcome.items()}
            assert shown == attack.shows, attack.id
