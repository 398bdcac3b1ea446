"""What a marked test needs: looked for once, and named where it is missing.

``root`` and ``fuse`` are decided here, so that a mark is enough. Other needs are
looked for by the fixture that uses them.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from snapfs.overlay_format import XattrPrefix, fitting_prefix


@functools.cache
def _root_obstacle() -> str:
    # Root of a user namespace has the capability too, but no trusted attributes.
    if fitting_prefix() is XattrPrefix.TRUSTED:
        return ""
    return "needs CAP_SYS_ADMIN in the initial user namespace"


@functools.cache
def _fuse_obstacle() -> str:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"needs /dev/fuse: {error.strerror}"
    return "" if shutil.which("fusermount3") else "needs fusermount3"


_OBSTACLES: Final[Mapping[str, Callable[[], str]]] = {
    "root": _root_obstacle,
    "fuse": _fuse_obstacle,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose mark names something that is not here, and say what."""
    for mark, obstacle in _OBSTACLES.items():
        if item.get_closest_marker(mark) is not None and obstacle():
            pytest.skip(obstacle())


# They run real comparisons, whose outcome a busy machine can change: for
# `make test-full`, on a machine that has nothing else to do.
_MEASURING: Final = frozenset(
    {"test_command.py", "test_counting.py", "test_results.py", "test_runner.py"}
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the benchmark tests that measure the machine itself as ``full``."""
    for item in items:
        if item.path.parent.name == "benchmarks" and item.path.name in _MEASURING:
            item.add_marker(pytest.mark.full)
