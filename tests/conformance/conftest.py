"""Every test here runs against every front and driver."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from conformance.fronts import Front, LibraryFront, MemoryFront, ServiceFront
from conformance.layers import Workbench
from conformance.service import Service
from snapfs.snapshotter import Snapshotter

# Drivers under test, and through what: one line here adds a driver to every test.
DRIVERS: Final[Mapping[str, Sequence[str]]] = {
    "kernel": ("library", "service"),
    "fuse": ("service",),
}

# Fixtures that only a store with files can serve.
NEED_FILES: Final = frozenset({"workbench", "disk_front"})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "front" not in metafunc.fixturenames:
        return
    marks = [mark.name for mark in metafunc.definition.iter_markers()]
    fronts = [
        pytest.param((name, driver), id=f"{name}-{driver}", marks=_marks(driver, marks))
        for driver, names in DRIVERS.items()
        for name in names
    ]
    if NEED_FILES.isdisjoint(metafunc.fixturenames):
        fronts.insert(0, pytest.param(("memory", ""), id="memory"))
    metafunc.parametrize("front", fronts, indirect=True)


def _marks(driver: str, marks: Sequence[str]) -> list[pytest.MarkDecorator]:
    """Return the marks of a front for a test that has ``marks`` itself."""
    if driver == "kernel":
        return [pytest.mark.root]
    found = [pytest.mark.root, pytest.mark.fuse]
    # A process for each mount takes its time, and upstream's suite has these too.
    return [*found, pytest.mark.full] if "slow" in marks else found


@pytest.fixture(scope="session")
def obstacle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Why no store on disk can be tested here; "" if it can."""
    if os.geteuid() != 0:
        return "these tests mount, which needs root"
    directory = tmp_path_factory.getbasetemp()
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    file_system = subprocess.run(command, capture_output=True, text=True, check=True)
    if file_system.stdout.strip() == "overlayfs":
        return f"{directory} is on overlayfs, which takes no upperdir: set TMPDIR"
    return ""


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, Service]]:
    """The services that run, by their driver: one serves many tests."""
    running: dict[str, Service] = {}
    try:
        yield running
        for service in running.values():
            service.stop()
    finally:
        for service in running.values():
            service.kill()


@pytest.fixture
def front(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    obstacle: str,
    services: dict[str, Service],
) -> Iterator[Front]:
    """One way to reach an empty store."""
    name, driver = request.param
    if name != "memory" and obstacle:
        pytest.skip(obstacle)
    front: Front
    if name == "memory":
        front = MemoryFront()
    elif name == "library":
        front = LibraryFront(tmp_path / "store", driver)
    else:
        if driver not in services:
            services[driver] = Service(tmp_path_factory.mktemp("service"), driver)
        front = ServiceFront(services[driver])
    yield front
    try:
        front.finish()
    except BaseException:
        if name == "service":
            services.pop(driver).kill()  # the next test gets another one
        raise


@pytest.fixture
def snapshots(front: Front) -> Snapshotter:
    """An empty store."""
    return front.snapshots


@pytest.fixture
def disk_front(front: Front) -> Front:
    """A front whose store survives a restart."""
    return front


@pytest.fixture
def workbench(snapshots: Snapshotter, tmp_path: Path) -> Workbench:
    """An empty store whose snapshots can be mounted."""
    return Workbench(snapshots, tmp_path)
