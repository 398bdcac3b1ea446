"""The command line on the in-memory fake: no disk, no mounts, no subprocess."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from snapfs.assembly import ServeSettings
from snapfs.cli.main import main
from snapfs.cli.session import Library
from snapfs.driver import Feature
from snapfs.manager.rebuilding import Rebuilt
from snapfs.model import Mount
from snapfs.snapshotter import Store
from support.memory_store import MemoryStore


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        return json.loads(self.out)

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class CommandLine:
    """Runs ``snapfs`` in this process and keeps what it asked of the library."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store: Store = MemoryStore()
        self.features: list[Feature] = []
        self.rebuilt: Rebuilt | None = None
        self.opened: list[tuple[str, str]] = []
        self.creations: list[bool] = []
        self.served: list[tuple[str, ServeSettings]] = []
        self.mounted: list[tuple[tuple[Mount, ...], str]] = []
        self.unmounted: list[tuple[str, bool]] = []
        self.environment: dict[str, str | None] = {"SNAPFS_ROOT": str(root)}

    def __call__(self, *words: str | Path) -> Outcome:
        library = Library(
            self._open,
            self._serve,
            self._mount,
            self._unmount,
            self._probe,
            lambda _root: self.rebuilt,
            lambda: None,  # the test runner keeps its priority
        )
        runner = CliRunner()
        with runner.isolation(env=self.environment) as streams:
            code = main([str(word) for word in words], library)
            out, err = (stream.getvalue().decode() for stream in streams[:2])
        return Outcome(code, out, err)

    @contextmanager
    def _open(self, root: str, driver: str, create: bool) -> Iterator[Store]:
        self.opened.append((root, driver))
        self.creations.append(create)
        yield self.store

    def _serve(self, root: str, settings: ServeSettings) -> None:
        self.served.append((root, settings))

    def _mount(self, mounts: Sequence[Mount], target: str) -> None:
        self.mounted.append((tuple(mounts), target))

    def _unmount(self, target: str, lazy: bool) -> None:
        self.unmounted.append((target, lazy))

    def _probe(self, directory: str) -> Sequence[Feature]:
        return self.features


@pytest.fixture
def snapfs(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "root")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An empty directory to mount on."""
    place = tmp_path / "target"
    place.mkdir()
    return place
