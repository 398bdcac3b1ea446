"""What is released: reproducible files, and a list of all that is in them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]


def script(name: str, *words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / name, *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    document = json.loads(script("sbom"))
    assert isinstance(document, dict)
    return document


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_bill_has_all_that_the_package_asks_for(bill: dict[str, Any]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = {normal(re.split(r"[<>=!~\[ ]", d)[0]) for d in project["dependencies"]}
    listed = {normal(component["name"]) for component in bill["components"]}

    assert asked <= listed
    assert bill["metadata"]["component"]["version"] == project["version"]


def test_the_bill_is_what_is_installed_and_tested(bill: dict[str, Any]) -> None:
    for component in bill["components"]:
        assert metadata.version(component["name"]) == component["version"]
        assert component["licenses"]
        assert component["hashes"]
        assert all(len(h["content"]) == 64 for h in component["hashes"])


def test_the_bill_has_the_closure_of_the_dependencies(bill: dict[str, Any]) -> None:
    """An independent walk over what the installed packages say that they need."""
    pending = [c["name"] for c in bill["components"]]
    needed = set()
    while pending:
        name = pending.pop()
        for line in metadata.requires(name) or ():
            wanted = normal(re.split(r"[<>=!~\[;( ]", line)[0])
            is_optional = "extra ==" in line or "python_version <" in line
            if is_optional or "win" in line or wanted in needed:
                continue
            needed.add(wanted)
            pending.append(wanted)

    assert needed <= {normal(c["name"]) for c in bill["components"]}


def test_the_bill_is_the_same_each_time(bill: dict[str, Any]) -> None:
    assert json.loads(script("sbom", TZ="Asia/Tokyo", PYTHONHASHSEED="7")) == bill


@pytest.mark.full
@pytest.mark.slow
def test_a_commit_always_gives_the_same_files(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        first = script("dist", tmp_path / "a", TZ="Asia/Tokyo", LC_ALL="C")
    finally:
        os.umask(before)
    second = script("dist", tmp_path / "b", PYTHONHASHSEED="7", TZ="UTC")

    assert first == second
    for name in os.listdir(tmp_path / "a"):
        one, other = ((tmp_path / side / name).read_bytes() for side in "ab")
        assert one == other, name


@pytest.mark.full
@pytest.mark.slow
def test_the_sdist_builds_the_wheel_and_holds_no_stray_files(tmp_path: Path) -> None:
    script("dist", tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    [sdist] = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    shutil.unpack_archive(sdist, tmp_path / "source")
    [source] = (tmp_path / "source").iterdir()

    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", tmp_path / "again", source),
        ],
        check=True,
    )

    [again] = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        names = [n for n in one.namelist() if not n.endswith("RECORD")]
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert all(one.read(name) == other.read(name) for name in names)
    assert any(name.startswith("snapfs/fuse/") for name in names)
    assert not any(name.startswith("tests/") for name in names)
    assert {(m.uid, m.gid, m.uname) for m in members} == {(0, 0, "")}


class Vulnerabilities(BaseHTTPRequestHandler):
    """An OSV service that knows one vulnerability, of the package ``bad``."""

    bad: ClassVar[str] = ""
    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        name = json.loads(self.rfile.read(length))["package"]["name"]
        self.asked.append(name)
        found = {"id": "OSV-1", "summary": "bad", "affected": []}
        answer = json.dumps({"vulns": [found]} if name == self.bad else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Vulnerabilities) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def audit(osv: str, cache: Path) -> int:
    words = ("-s", "osv", "--osv-url", osv, "--cache-dir", str(cache))
    done = subprocess.run(
        [REPOSITORY / "scripts/audit", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution" in done.stderr or "Connection" in done.stderr:
        pytest.skip("pip-audit cannot be had here")
    return done.returncode


@pytest.mark.full
@pytest.mark.slow
def test_the_audit_asks_about_every_package_and_fails_for_a_bad_one(
    osv: str, bill: dict[str, Any], tmp_path: Path
) -> None:
    Vulnerabilities.bad = ""
    clean = audit(osv, tmp_path / "1")
    asked = {normal(name) for name in Vulnerabilities.asked}
    Vulnerabilities.bad = "click"
    bad = audit(osv, tmp_path / "2")

    assert asked == {normal(c["name"]) for c in bill["components"]}
    assert (clean, bad) == (0, 1)
