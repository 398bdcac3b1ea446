"""What the tests of the attack corpus share."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("attack.applying", "attack.unpacking")

from attack.canaries import Surroundings  # noqa: E402  # its asserts are rewritten
from attack.unpacking import Unpacking  # noqa: E402

from snapfs.layer.removal import discard_tree  # noqa: E402
from support.applied_layers import opened  # noqa: E402
from support.stores import opened_store  # noqa: E402


@contextlib.contextmanager
def _surroundings(root: Path) -> Iterator[Surroundings]:
    """Make surroundings; what pytest would have to remove may be too deep for it."""
    place = Surroundings(root)
    try:
        yield place
    finally:
        with opened(root) as fd:
            discard_tree(fd)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Surroundings]:
    """Make surroundings for one attack."""
    with _surroundings(tmp_path / "place") as place:
        yield place


@pytest.fixture
def open_place() -> Iterator[Surroundings]:
    """Make surroundings that every user gets to."""
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as name:
        Path(name).chmod(0o755)
        with _surroundings(Path(name) / "place") as place:
            yield place


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unpacking]:
    """Make surroundings with one store in them that takes all attacks of a module."""
    root = tmp_path_factory.mktemp("attacked") / "place"
    with _surroundings(root) as place, opened_store(root / "store") as store:
        yield Unpacking(place, store)
