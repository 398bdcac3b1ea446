"""``snapfs image report`` as a process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.applied_layers import entry
from support.command import Command
from support.unpack_images import layout_of


@pytest.fixture
def source(tmp_path: Path, command: Command) -> str:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return f"oci:{layout_of(tmp_path / 'image', [entry('f', b'x')])}"


def test_the_report_is_written_whole_and_replaces_an_old_one(
    command: Command, source: str, tmp_path: Path
) -> None:
    page = tmp_path / "out" / "report.html"
    page.parent.mkdir()
    page.write_text("old")

    told = json.loads(command.ok("image", "report", "--json", source, "-o", page))

    text = page.read_text()
    assert told == {"file": str(page), "size_bytes": len(text.encode())}
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert os.listdir(page.parent) == ["report.html"]
    assert page.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("place", "code", "says"),
    [
        pytest.param("none/report.html", 3, "does not exist", id="no-directory"),
        pytest.param(".", 2, "is a directory", id="directory"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    command: Command, source: str, tmp_path: Path, place: str, code: int, says: str
) -> None:
    before = sorted(os.listdir(tmp_path))

    done = command("image", "report", source, "-o", tmp_path / place)

    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.root
def test_a_page_that_cannot_be_written_is_named_and_leaves_nothing(
    command: Command, source: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    refused = command("image", "report", source, "-o", "/sys/report.html")
    # Eight blocks of 512 bytes, as if the disk were full.
    command.words[:0] = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh"]

    full = command("image", "report", source, "-o", page)

    assert (refused.returncode, full.returncode) == (1, 1)
    assert refused.stderr.startswith("snapfs: /sys/report.html: ")
    assert full.stderr == f"snapfs: {page}: File too large\n"
    assert not [path for path in tmp_path.iterdir() if "report" in path.name]
    assert not list(tmp_path.glob(".snapfs-*"))
