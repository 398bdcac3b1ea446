"""Installed packages, against what the managers themselves say."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from snapfs.inspect.contents import DirectoryContents
from snapfs.inspect.directory_index import directory_index
from snapfs.inspect.inspection import Inspection, Layer
from snapfs.inspect.packages import Package, packages
from snapfs.overlay_format import XattrPrefix
from support.applied_layers import Item, entry
from support.inspected import inspected
from support.unpack_images import layout_of


def found_in(directory: Path) -> dict[Package, tuple[str, ...]]:
    index = directory_index(str(directory), XattrPrefix.USER)
    contents = DirectoryContents(str(directory))
    layer = Layer(1, "", "", "", 0, str(directory), index, contents)
    return packages(Inspection("directory", [layer]))


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="needs dpkg")
def test_dpkgs_packages_are_those_that_dpkg_lists(tmp_path: Path) -> None:
    record = tmp_path / "var/lib/dpkg/status"
    record.parent.mkdir(parents=True)
    shutil.copy("/var/lib/dpkg/status", record)
    words = "${db:Status-Status} ${Package} ${Architecture} ${Version}\n"
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={record.parent}", "-W", "-f", words],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = {
        (name if architecture == "all" else f"{name}:{architecture}", version)
        for state, name, architecture, version in (
            line.split(" ") for line in listed.stdout.splitlines()
        )
        if state == "installed"
    }

    found = found_in(tmp_path)

    assert {(package.name, *versions) for package, versions in found.items()} == wanted


def test_pythons_packages_are_those_that_importlib_finds(tmp_path: Path) -> None:
    site = Path(pytest.__file__).parent.parent
    wanted = set()
    for distribution in metadata.distributions(path=[str(site)]):
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        wanted.add((name, distribution.version))
    for directory in site.iterdir():
        if directory.suffix in (".dist-info", ".egg-info"):
            (tmp_path / "usr/lib" / directory.name).mkdir(parents=True)

    found = found_in(tmp_path)

    told = {(package.name, *versions) for package, versions in found.items()}
    assert wanted
    assert told == wanted


def test_apks_packages_and_those_of_images_without_dpkg_are_found(
    tmp_path: Path,
) -> None:
    layer: list[Item] = [
        entry("lib/apk/db/installed", b"C:Q1x\nP:musl\nV:1.2.5-r0\n\nP:zlib\nV:1.3\n"),
        entry("var/lib/dpkg/status.d/base", b"Package: base-files\nVersion: 12.4\n"),
    ]

    with inspected(layout_of(tmp_path / "i", layer), tmp_path / "c") as inspection:
        found = packages(inspection)

    assert found == {
        Package("apk", "musl"): ("1.2.5-r0",),
        Package("apk", "zlib"): ("1.3",),
        Package("dpkg", "base-files"): ("12.4",),
    }


def test_nodes_packages_are_told_by_their_manifests(tmp_path: Path) -> None:
    modules = "srv/node_modules"
    manifests = {
        f"{modules}/express": b'{"name": "express", "version": "4.18.2", "x": [1]}',
        f"{modules}/express/node_modules/debug": b'{"version": "2.6.9"}',
        f"{modules}/debug": b'{"version": "4.3.4"}',
        f"{modules}/@babel/core": b'{"version": "7.23.0"}',
        f"{modules}/express/lib": b'{"version": "9.9.9"}',
        f"{modules}/broken": b'{"version": ',
        f"{modules}/nameless": b'{"version": 1}',
        f"{modules}/deep": b'{"x": ' + b"[" * 100_000,
        "srv": b'{"version": "0.0.1"}',
    }
    layer = [entry(f"{path}/package.json", text) for path, text in manifests.items()]

    with inspected(layout_of(tmp_path / "i", layer), tmp_path / "c") as inspection:
        found = packages(inspection)

    assert found == {
        Package("npm", "@babel/core"): ("7.23.0",),
        Package("npm", "debug"): ("2.6.9", "4.3.4"),
        Package("npm", "express"): ("4.18.2",),
    }


def test_a_removed_package_is_no_longer_installed(tmp_path: Path) -> None:
    status = (
        b"Package: kept\nStatus: install ok installed\nVersion: 1\n\n"
        b"Package: gone\nStatus: deinstall ok config-files\nVersion: 2\n"
    )
    layer = [entry("var/lib/dpkg/status", status)]

    with inspected(layout_of(tmp_path / "i", layer), tmp_path / "c") as inspection:
        assert packages(inspection) == {Package("dpkg", "kept"): ("1",)}


def test_a_hostile_record_takes_no_time_beyond_its_size(tmp_path: Path) -> None:
    spaces = b" " * 300_000
    record = b"Package: a" + spaces + b"b\nVersion: 1\n" + b"\n \n" * 100_000 + spaces
    layer = [
        entry("var/lib/dpkg/status", record),
        entry("lib/apk/db/installed", spaces),
    ]

    with inspected(layout_of(tmp_path / "i", layer), tmp_path / "c") as inspection:
        found = packages(inspection)

    assert list(found.values()) == [("1",)]
