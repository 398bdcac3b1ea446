"""What is installed is what is here, and loads no more than it must."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

import snapfs

REPOSITORY: Final = Path(__file__).resolve().parents[2]
HEAVY: Final = {"sqlite3", "grpc", "google.protobuf", "click", "rich", "re2"}


def configuration() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def packages_on_disk() -> set[str]:
    """Return every folder with an ``__init__.py``, by its import name."""
    homes = {"snapfs": REPOSITORY / "snapfs"}
    # The links in the package lead to these; a walk does not follow them.
    for name in ("fuse", "kernel_overlay", "benchmarks"):
        homes[f"snapfs.{name}"] = REPOSITORY / name
    found = set()
    for prefix, home in homes.items():
        for folder, _folders, files in os.walk(home):
            if "__init__.py" in files:
                below = Path(folder).relative_to(home).parts
                found.add(".".join((prefix, *below)))
    return found


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has after ``statement``."""
    completed = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return set(completed.stdout.split())


def test_the_listed_packages_are_those_on_disk() -> None:
    listed = configuration()["tool"]["setuptools"]["packages"]

    assert listed == sorted(listed)
    assert set(listed) == packages_on_disk()


def test_the_folders_outside_are_mapped_and_linked() -> None:
    mapped = configuration()["tool"]["setuptools"]["package-dir"]

    for name, folder in mapped.items():
        link = REPOSITORY / name.replace(".", "/")
        assert link.is_symlink(), name
        assert link.resolve() == REPOSITORY / folder, name


def test_the_version_is_the_same_everywhere() -> None:
    assert configuration()["project"]["version"] == snapfs.__version__


def test_the_package_says_that_it_is_typed() -> None:
    assert (REPOSITORY / "snapfs/py.typed").is_file()


@pytest.mark.parametrize(
    "statement",
    [
        "import snapfs",
        "import snapfs; snapfs.Info, snapfs.Mount, snapfs.SnapfsError",
        "import snapfs.kernel_overlay",
        "import snapfs.fuse",
    ],
)
def test_what_a_mount_needs_loads_nothing_heavy(statement: str) -> None:
    assert HEAVY.isdisjoint(loaded_by(statement))


def test_opening_a_store_loads_neither_grpc_nor_the_command_line() -> None:
    loaded = loaded_by("import snapfs; snapfs.open_store")

    assert {"grpc", "click", "rich"}.isdisjoint(loaded)


def test_every_public_name_exists() -> None:
    for name in snapfs.__all__:
        assert getattr(snapfs, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        snapfs.no_such_name  # noqa: B018 - the access is the test


@pytest.mark.parametrize("name", ["fuse", "kernel_overlay"])
def test_a_linked_package_refuses_another_name(name: str) -> None:
    # From a checkout "import fuse" would find the folder, and classes twice.
    spec = importlib.util.spec_from_file_location(
        name, REPOSITORY / name / "__init__.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    with pytest.raises(ImportError, match=rf"import snapfs\.{name}"):
        spec.loader.exec_module(module)
