"""Targets from a file of the user's: what others measure without changing the suite."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from snapfs.benchmarks.protocols import Target
from snapfs.errors import InvalidArgumentError

_LIST: Final = "TARGETS"


def load_targets(path: Path) -> Mapping[str, Callable[[], Target]]:
    """Run the Python file ``path``; return its targets by name.

    It must have a list ``TARGETS`` of callables, each of which makes a target: a class
    that needs no arguments, for example.

    Raises:
        InvalidArgumentError: It cannot be run, or has no such list.
    """
    spec = importlib.util.spec_from_file_location(f"_targets_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InvalidArgumentError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        makers = list(getattr(module, _LIST))
        return {maker().name: maker for maker in makers}
    except Exception as error:
        raise InvalidArgumentError(
            f"{path} gives no list {_LIST} of targets: {type(error).__name__}: {error}"
        ) from error
