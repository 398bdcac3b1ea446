from __future__ import annotations

from pathlib import Path

from support import tap_files


def test_tests_that_pass_fail_and_are_excused_are_told_apart() -> None:
    text = "1..4\nok 1\nnot ok 2 - got EIO\nok 3 # SKIP no acls\nnot ok 4 # TODO bug\n"

    result = tap_files.read_tap(text)

    assert result.planned == 4
    assert result.passed == 3
    assert result.failed == ("not ok 2 - got EIO",)
    assert len(result.excused) == 2


def test_a_file_that_ends_early_has_failed() -> None:
    result = tap_files.read_tap("1..3\nok 1\n")

    assert result.failed == ("1 of 3 planned tests ran",)


def test_a_file_without_a_word_has_failed() -> None:
    assert tap_files.read_tap("").failed == ("0 of 0 planned tests ran",)


def test_a_file_that_skips_more_has_another_shape() -> None:
    short = {"a.t": tap_files.read_tap("1..1\nok 1\n")}
    whole = {"a.t": tap_files.read_tap("1..2\nok 1\nok 2\n")}

    assert tap_files.failures(short) == tap_files.failures(whole) == {}
    assert tap_files.shape(short) != tap_files.shape(whole)


def test_every_file_runs_in_a_directory_of_its_own(tmp_path: Path) -> None:
    tests, directory = tmp_path / "tests", tmp_path / "here"
    for name in ("a/00.t", "b/00.t"):
        (tests / name).parent.mkdir(parents=True)
        (tests / name).write_text("echo 1..1; mkdir made && echo ok 1\n")
    directory.mkdir()

    results = tap_files.run_files(tests, directory)

    assert tap_files.failures(results) == {}
    assert tap_files.total(results) == 2
    assert sorted(results) == ["a/00.t", "b/00.t"]
