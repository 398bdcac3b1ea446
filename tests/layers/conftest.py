"""Fixtures: one observer for all, and a store for each prefix of overlayfs's marks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from layers.unpacked import ImageStore, image_store

from snapfs.overlay_format import XattrPrefix
from support.observer import Observer


@pytest.fixture(scope="session")
def observer() -> Iterator[Observer]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with Observer() as made:
        yield made


@pytest.fixture(scope="module", params=list(XattrPrefix))
def images(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageStore]:
    """A store that a module's tests share: layers that they share are made once."""
    root = tmp_path_factory.mktemp("store") / "root"
    with image_store(root, request.param) as made:
        yield made
        assert made.store.check() == []
        assert made.check_contents().findings == []


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Where a test's image goes."""
    return tmp_path / "layout"
