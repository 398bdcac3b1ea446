"""``usage``: one snapshot, all of them, and what is damaged."""

from __future__ import annotations

import pytest

from snapfs.cli.exit_codes import ExitCode
from snapfs.errors import DataLossError, NotFoundError
from snapfs.model import Usage

from .conftest import CommandLine


@pytest.fixture
def filled(snapfs: CommandLine) -> CommandLine:
    snapfs.store.prepare("making")
    snapfs.store.commit("base", "making")
    for key in ("left", "middle", "right"):
        snapfs.store.prepare(key, "base")
    return snapfs


@pytest.fixture
def damaged(filled: CommandLine) -> CommandLine:
    """Two of the snapshots are damaged."""
    usage = filled.store.usage

    def refuse_some(key: str) -> Usage:
        if key in ("left", "middle"):
            raise DataLossError(f"snapshot {key!r}: /gone is gone")
        return usage(key)

    filled.store.usage = refuse_some  # type: ignore[method-assign]  # the fake is ours
    return filled


def test_usage_of_one_key_is_one_document(filled: CommandLine) -> None:
    document = filled("usage", "left", "--json").document

    assert document == {"name": "left", "size_bytes": 8192, "inodes": 2}


def test_usage_of_one_key_has_no_total(filled: CommandLine) -> None:
    lines = filled("usage", "left").out.splitlines()

    assert [line.split() for line in lines] == [
        ["KEY", "SIZE", "INODES"],
        ["left", "8.0", "KiB", "2"],
    ]


def test_usage_of_all_ends_with_the_total(filled: CommandLine) -> None:
    lines = filled("usage").out.splitlines()

    assert lines[-1].split() == ["total", "32.0", "KiB", "8"]


def test_usage_of_all_tells_of_every_damaged_one_and_shows_the_others(
    damaged: CommandLine,
) -> None:
    outcome = damaged("usage")

    assert outcome.code == ExitCode.DATA_LOSS
    assert outcome.err.splitlines() == [
        "snapfs: snapshot 'left': /gone is gone",
        "snapfs: snapshot 'middle': /gone is gone",
    ]
    keys = [line.split()[0] for line in outcome.out.splitlines()]
    assert keys == ["KEY", "base", "right", "total"]
    assert outcome.out.splitlines()[-1].split() == ["total", "16.0", "KiB", "4"]


def test_usage_of_all_as_json_leaves_the_damaged_ones_out(
    damaged: CommandLine,
) -> None:
    outcome = damaged("usage", "--json")

    assert outcome.code == ExitCode.DATA_LOSS
    assert [record["name"] for record in outcome.records] == ["base", "right"]


def test_usage_of_a_damaged_one_is_its_error(damaged: CommandLine) -> None:
    outcome = damaged("usage", "left")

    assert (outcome.code, outcome.out) == (ExitCode.DATA_LOSS, "")
    assert outcome.err == "snapfs: snapshot 'left': /gone is gone\n"


def test_what_is_removed_during_the_listing_is_left_out(filled: CommandLine) -> None:
    usage = filled.store.usage

    def lose_one(key: str) -> Usage:
        if key == "left":
            raise NotFoundError("snapshot 'left' does not exist")
        return usage(key)

    filled.store.usage = lose_one  # type: ignore[method-assign]  # the fake is ours

    outcome = filled("usage", "--json")

    assert outcome.code == ExitCode.DONE
    assert [record["name"] for record in outcome.records] == ["base", "middle", "right"]
