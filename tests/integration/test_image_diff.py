"""``snapfs image diff`` as a process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.applied_layers import directory, entry, symlink, tar_of
from support.command import Command
from support.layouts import LayoutWriter

SHARED = [directory("etc"), entry("etc/motd", b"old!"), entry("etc/gone", b"x")]


def image(path: Path, *items: object, **config: object) -> str:
    writer = LayoutWriter(path)
    writer.add_layer([tar_of(SHARED)])
    writer.add_layer([tar_of(items)])  # type: ignore[arg-type]  # passed on as they are
    writer.finish(**config)
    return f"oci:{path}"


@pytest.fixture
def images(tmp_path: Path, command: Command) -> tuple[str, str]:
    command.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    old, new = (
        b"Package: a\nStatus: install ok installed\nVersion: %d\n\n" % version
        for version in (1, 2)
    )
    other = old.replace(b"Package: a", b"Package: b")
    first = image(
        tmp_path / "a",
        entry("etc/motd", b"old!", mtime=5),
        entry("var/lib/dpkg/status", old, mtime=5),
        symlink("to", "there"),
        Env=["PATH=/bin", "OLD=1"],
        Cmd=["sh"],
    )
    second = image(
        tmp_path / "b",
        entry("etc/motd", b"new!", mode=0o600),
        entry(".wh.gone"),
        entry("etc/.wh.gone"),
        entry("new\nline", b""),
        entry("var/lib/dpkg/status", new + other),
        symlink("to", "here"),
        Env=["PATH=/usr/bin"],
        Cmd=["sh"],
    )
    return first, second


def test_each_difference_is_a_line(command: Command, images: tuple[str, str]) -> None:
    told = command.ok("image", "diff", "--ignore", "mtime", *images)

    assert told.splitlines() == [
        "D /etc/gone",
        "M /etc/motd: mode 0644 -> 0600, content",
        "A /new\\nline",
        "M /to: target there -> here",
        "M /var/lib/dpkg/status: size 52 -> 104, content",
    ]


def test_meaning_is_compared_on_demand(
    command: Command, images: tuple[str, str]
) -> None:
    told = command.ok("image", "diff", "--semantic", *images).splitlines()
    records = [
        json.loads(line)
        for line in command.ok(
            "image", "diff", "--semantic", "--json", *images
        ).splitlines()
    ]

    assert told[:4] == [
        "M package dpkg a: 1 -> 2",
        "A package dpkg b: 1",
        "D config Env OLD: 1",
        "M config Env PATH: /bin -> /usr/bin",
    ]
    assert len(told) == len(records) == 9
    assert records[3] == {
        "what": "config",
        "change": "M",
        "name": "Env PATH",
        "before": "/bin",
        "after": "/usr/bin",
    }
    assert records[5] == {
        "what": "file",
        "change": "M",
        "path": "/etc/motd",
        "fields": ["mode", "content"],
        "before": {"mode": "0644"},
        "after": {"mode": "0600"},
    }


def test_the_exit_code_tells_only_when_asked(
    command: Command, images: tuple[str, str]
) -> None:
    first, second = images

    codes = [
        command("image", "diff", *words).returncode
        for words in (
            (first, second),
            ("--exit-code", first, second),
            ("--exit-code", first, first),
        )
    ]

    assert codes == [0, 1, 0]


@pytest.mark.root
def test_a_snapshot_is_compared_with_the_image_it_came_from(
    command: Command, images: tuple[str, str]
) -> None:
    command.ok("unpack", images[0], "--name", "made")

    told = command.ok("image", "diff", "--exit-code", "--semantic", images[0], "made")

    assert told == ""
