"""What the crash tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def small_ballast(request: pytest.FixtureRequest) -> None:
    """Keep a store small that is copied for every step at which it is killed."""
    if "kill_points" in request.node.nodeid:
        patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        patch.setattr("snapfs.state.ballast._SIZE_BYTES", 4096)
