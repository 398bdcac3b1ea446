"""Fixtures: misbehaving registries, and a client that does not wait long."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from snapfs.image.registry.credentials import DockerConfig
from snapfs.image.registry.name import parse_name
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.registry.transport import Patience
from support.hostile_registry import HostileRegistry, hostile_registry

# Waits between attempts are not what is tested; their order and number are.
HASTY: Final = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.002)

REPOSITORY: Final = "team/app"
MANIFEST: Final = b'{"schemaVersion":2,"layers":[]}'

OpenSource = Callable[..., RegistrySource]


@pytest.fixture
def make_registry() -> Iterator[Callable[[], HostileRegistry]]:
    with ExitStack() as running:
        yield lambda: running.enter_context(hostile_registry())


@pytest.fixture
def registry(make_registry: Callable[[], HostileRegistry]) -> HostileRegistry:
    """A registry with one image and no vices yet."""
    made = make_registry()
    made.add_manifest(REPOSITORY, "v1", MANIFEST)
    return made


@pytest.fixture
def blob() -> bytes:
    return random.Random(4).randbytes(300_000)


@pytest.fixture
def host_folder(tmp_path: Path) -> Path:
    """A ``certs.d`` for hosts.toml files."""
    folder = tmp_path / "certs.d"
    folder.mkdir()
    return folder


@pytest.fixture
def docker_config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.fixture
def settings(host_folder: Path, docker_config: Path) -> RegistrySettings:
    return RegistrySettings(
        (host_folder,), DockerConfig(docker_config), HASTY, connections=0
    )


@pytest.fixture
def open_source(settings: RegistrySettings) -> Iterator[OpenSource]:
    """Opens sources, and closes them after the test."""
    with ExitStack() as opened:

        def open_one(
            registry: HostileRegistry,
            reference: str = ":v1",
            use: RegistrySettings = settings,
        ) -> RegistrySource:
            name = parse_name(f"{registry.host}/{REPOSITORY}{reference}")
            return opened.enter_context(RegistrySource(name, use))

        yield open_one
