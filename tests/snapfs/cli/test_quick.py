"""``mount`` without click: what click would have made of the same words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from snapfs.cli import quick

from .conftest import CommandLine

# What is read without click, what is left to it, and what is wrong.
WORDS = (
    *("mount", "base", "work", "missing", "{target}", "{target}/absent", "", "-"),
    *("--root", "--driver", "fuse", "auto", "zfs", "--json", "-q", "--quiet", "--ro"),
    *("--rw", "-v", "--upper", "--provenance", "--layer", "1", "--help", "--", "-x"),
    *("--json=1", "--driver=fuse", "snapshot:base", "ls"),
)

TEMPORARY = "snapfs-changes-"

PLAIN = [
    pytest.param(("mount", "base", "{target}"), id="a snapshot"),
    pytest.param(("mount", "work", "{target}", "--rw"), id="an active one"),
    pytest.param(("mount", "--ro", "work", "{target}"), id="read-only"),
    pytest.param(("mount", "snapshot:base", "{target}", "--json"), id="json behind"),
    pytest.param(("--json", "-q", "mount", "base", "{target}"), id="json before"),
    pytest.param(("--quiet", "mount", "base", "{target}"), id="quiet"),
    pytest.param(("--root", "/x", "mount", "base", "{target}"), id="root"),
    pytest.param(("--driver", "kernel", "mount", "base", "{target}"), id="driver"),
    pytest.param(("mount", "missing", "{target}"), id="unknown key"),
    pytest.param(("mount", "bas", "{target}"), id="misspelt key"),
    pytest.param(("mount", "nonsense:x", "{target}"), id="unknown form"),
    pytest.param(("mount", "base", "{target}/absent"), id="no target"),
    pytest.param(("mount", "base", "/dev/null"), id="target is a file"),
    pytest.param(("mount", "dir:/absent", "{target}"), id="no such directory"),
]

LEFT = [
    pytest.param((), id="nothing"),
    pytest.param(("mount",), id="no words"),
    pytest.param(("mount", "base"), id="no target"),
    pytest.param(("mount", "base", ""), id="empty target"),
    pytest.param(("mount", "base", "x", "y"), id="too many"),
    pytest.param(("mount", "base", "x", "--ro", "--rw"), id="contradiction"),
    pytest.param(("mount", "base", "x", "--help"), id="help"),
    pytest.param(("mount", "base", "x", "--upper", "y"), id="upper"),
    pytest.param(("mount", "base", "x", "-q"), id="quiet behind"),
    pytest.param(("mount", "--", "base", "x"), id="end of options"),
    pytest.param(("-v", "mount", "base", "x"), id="verbose"),
    pytest.param(("--driver", "zfs", "mount", "base", "x"), id="unknown driver"),
    pytest.param(("--root", "", "mount", "base", "x"), id="empty root"),
    pytest.param(("--root", "--json", "mount", "base", "x"), id="no root"),
    pytest.param(("umount", "mount", "x"), id="another command"),
    pytest.param(("ls", "mount"), id="a key that is named so"),
]


@pytest.fixture
def filled(snapfs: CommandLine, tmp_path: Path) -> CommandLine:
    snapfs.environment["TMPDIR"] = str(tmp_path)  # for changes that nobody keeps
    snapfs("prepare", "first")
    snapfs("commit", "base", "first")
    snapfs("prepare", "work", "base")
    return snapfs


def both(
    snapfs: CommandLine, words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Run a line as it is run, and by click."""
    found = []
    for is_by_click in (False, True):
        snapfs.opened.clear()
        snapfs.mounted.clear()
        with monkeypatch.context() as changes:
            if is_by_click:
                changes.setattr(quick, "understood", lambda _: None)
            outcome = snapfs(*words)
        text = f"{int(outcome.code)} {outcome.out} {outcome.err} {snapfs.mounted}"
        told = re.sub(f"{TEMPORARY}[a-z0-9_]+", TEMPORARY, text)
        found.append((told, list(snapfs.opened)))
    return found


@pytest.mark.parametrize("words", PLAIN)
def test_a_plain_line_is_done_as_by_click(
    words: tuple[str, ...],
    filled: CommandLine,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = [word.format(target=target) for word in words]

    assert quick.understood(line) is not None
    ours, by_click = both(filled, line, monkeypatch)

    assert ours == by_click


@pytest.mark.parametrize("words", LEFT)
def test_any_other_line_is_left_to_click(words: tuple[str, ...]) -> None:
    assert quick.understood(words) is None


def test_completion_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SNAPFS_COMPLETE", "bash_complete")

    assert quick.understood(["mount", "base", "/mnt"]) is None


@pytest.mark.parametrize("seed", range(8))
def test_lines_at_random_are_understood_as_by_click(
    seed: int,
    filled: CommandLine,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(seed)
    understood = 0
    while understood < 10:
        words = [word.format(target=target) for word in chance.choices(WORDS, k=4)]
        words.insert(chance.randrange(3), "mount")
        if quick.understood(words) is None:
            continue
        understood += 1

        ours, by_click = both(filled, words, monkeypatch)

        assert ours == by_click, words
