from __future__ import annotations

import pytest

from snapfs import __version__

from .conftest import CommandLine


def test_version_is_one_line(snapfs: CommandLine) -> None:
    outcome = snapfs("--version")

    assert (outcome.code, outcome.out) == (0, f"snapfs {__version__}\n")


def test_help_lists_every_section(snapfs: CommandLine) -> None:
    outcome = snapfs("--help")

    assert outcome.code == 0
    assert "prepare" in outcome.out
    assert "doctor" in outcome.out


def test_no_command_at_all_prints_help_and_is_a_usage_error(
    snapfs: CommandLine,
) -> None:
    outcome = snapfs()

    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: snapfs" in outcome.err


def test_an_unknown_command_names_the_nearest(snapfs: CommandLine) -> None:
    outcome = snapfs("prepar", "x")

    assert outcome.code == 2
    assert outcome.err == (
        "snapfs: no command 'prepar'; did you mean 'prepare'? (see 'snapfs --help')\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("ls", "--nonsense"), id="unknown option"),
        pytest.param(("info",), id="missing argument"),
        pytest.param(("--driver", "zfs", "ls"), id="unknown driver"),
        pytest.param(("label", "x", "novalue"), id="bad label"),
        pytest.param(("ls", "-f", "kind=="), id="bad filter"),
    ],
)
def test_a_mistake_in_the_words_is_one_line_and_exit_code_2(
    snapfs: CommandLine, words: tuple[str, ...]
) -> None:
    outcome = snapfs(*words)

    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("snapfs: ")
    assert outcome.err.count("\n") == 1


def test_an_interrupt_is_exit_code_130(snapfs: CommandLine) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    snapfs.store.status = interrupt  # type: ignore[method-assign, assignment]  # the fake is ours

    outcome = snapfs("top")

    assert outcome.code == 130
    assert outcome.err.strip() == "snapfs: interrupted"


def test_a_fault_of_ours_is_one_line_and_shows_its_place_on_request(
    snapfs: CommandLine,
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    snapfs.store.check = fail  # type: ignore[method-assign, assignment]  # the fake is ours

    quiet = snapfs("check")
    loud = snapfs("-v", "check")

    assert quiet.code == loud.code == 1
    assert "internal error: ZeroDivisionError: a fault" in quiet.err
    assert quiet.err.count("\n") == 1
    assert "Traceback" in loud.err


def test_a_system_error_names_the_file_and_the_reason(snapfs: CommandLine) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret")

    snapfs.store.check = fail  # type: ignore[method-assign, assignment]  # the fake is ours

    outcome = snapfs("check")

    assert (outcome.code, outcome.err) == (1, "snapfs: /secret: Permission denied\n")


def test_a_message_never_moves_the_cursor(snapfs: CommandLine) -> None:
    outcome = snapfs("info", "evil\x1b[2J\nname")

    assert outcome.code == 3
    assert "\x1b" not in outcome.err
    assert outcome.err.count("\n") == 1


def test_root_and_driver_reach_the_store(snapfs: CommandLine) -> None:
    snapfs("--root", "/elsewhere", "--driver", "kernel", "ls")

    assert snapfs.opened == [("/elsewhere", "kernel")]


def test_an_empty_root_is_not_the_default_one(snapfs: CommandLine) -> None:
    outcome = snapfs("--root", "", "ls")

    assert outcome.code == 2
    assert "--root is empty" in outcome.err
    assert snapfs.opened == []


def test_only_what_puts_something_into_a_store_makes_one(snapfs: CommandLine) -> None:
    snapfs("ls")
    snapfs("prepare", "work")
    snapfs("view", "look")
    snapfs("rm", "look")
    snapfs("check")

    assert snapfs.creations == [False, True, True, False, False]


def test_the_environment_names_the_root(snapfs: CommandLine) -> None:
    snapfs("ls")

    assert snapfs.opened == [(str(snapfs.root), "auto")]
