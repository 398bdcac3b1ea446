from __future__ import annotations

import pytest

from snapfs.model import Kind
from support.memory_store import MemoryStore
from support.memory_view import ContainerdView

from .conftest import CommandLine


@pytest.fixture
def base(snapfs: CommandLine) -> CommandLine:
    """A committed snapshot 'base' and an active one 'work' on it."""
    snapfs.store.prepare("making", labels={"made": "here"})
    snapfs.store.commit("base", "making", {"team": "blue"})
    snapfs.store.prepare("work", "base")
    return snapfs


def test_prepare_prints_its_mounts(base: CommandLine) -> None:
    outcome = base("prepare", "more", "base", "-l", "a=b", "--label", "c=d=e")

    assert outcome.code == 0
    assert outcome.out.startswith("TYPE")
    assert "overlay" in outcome.out
    info = base.store.stat("more")
    assert (info.kind, info.parent) == (Kind.ACTIVE, "base")
    assert dict(info.labels) == {"a": "b", "c": "d=e"}


def test_prepare_as_json_has_the_fields_of_a_mount(base: CommandLine) -> None:
    document = base("--json", "prepare", "more", "base").document

    assert document["key"] == "more"
    [mount] = document["mounts"]
    assert set(mount) == {"type", "source", "target", "options"}
    assert mount["type"] == "overlay"


def test_prepare_of_a_taken_key_is_exit_code_4(base: CommandLine) -> None:
    outcome = base("prepare", "work")

    assert outcome.code == 4
    assert outcome.err == "snapfs: snapshot 'work' already exists\n"


def test_prepare_on_an_unknown_parent_suggests_a_name(base: CommandLine) -> None:
    outcome = base("prepare", "more", "bsae")

    assert outcome.code == 3
    assert "did you mean 'base'?" in outcome.err


def test_prepare_on_an_active_parent_is_exit_code_2(base: CommandLine) -> None:
    outcome = base("prepare", "more", "work")

    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_a_new_snapshot_takes_no_empty_label(base: CommandLine) -> None:
    outcome = base("prepare", "more", "-l", "a=")

    assert outcome.code == 2
    assert "label 'a' has no value" in outcome.err


def test_view_makes_a_view(base: CommandLine) -> None:
    outcome = base("view", "look", "base")

    assert outcome.code == 0
    assert base.store.stat("look").kind is Kind.VIEW


def test_commit_freezes_and_says_nothing(base: CommandLine) -> None:
    outcome = base("commit", "top", "work", "-l", "v=1")

    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert dict(base.store.stat("top").labels) == {"v": "1"}


def test_commit_as_json_is_the_new_snapshot(base: CommandLine) -> None:
    document = base("commit", "top", "work", "--json").document

    assert (document["name"], document["kind"]) == ("top", "committed")
    assert document["parent"] == "base"


def test_commit_of_a_view_is_exit_code_5(base: CommandLine) -> None:
    base("view", "look", "base")

    outcome = base("commit", "top", "look")

    assert outcome.code == 5


def test_rm_removes_parents_given_before_their_children(base: CommandLine) -> None:
    outcome = base("rm", "base", "work", "--json")

    assert outcome.code == 0
    assert outcome.document == ["base", "work"]
    assert list(base.store.walk()) == []


def test_rm_goes_on_after_a_failure_and_tells_of_each(base: CommandLine) -> None:
    outcome = base("rm", "gone", "work", "lost")

    assert outcome.code == 3
    assert [line.split(";")[0] for line in outcome.err.splitlines()] == [
        "snapfs: snapshot 'gone' does not exist",
        "snapfs: snapshot 'lost' does not exist",
    ]
    assert [info.name for info in base.store.walk()] == ["base"]


def test_rm_of_a_parent_with_children_is_exit_code_5(base: CommandLine) -> None:
    outcome = base("rm", "base")

    assert outcome.code == 5
    assert "cannot remove" in outcome.err


def test_rm_refuses_what_is_containerds_unless_forced(base: CommandLine) -> None:
    assert isinstance(base.store, MemoryStore)
    ContainerdView(base.store).prepare("theirs")

    refused = base("rm", "theirs")
    forced = base("rm", "--force", "theirs")

    assert refused.code == 5
    assert "containerd" in refused.err
    assert forced.code == 0


def test_label_sets_one_deletes_another_and_leaves_the_rest(base: CommandLine) -> None:
    base.store.prepare("l", labels={"keep": "1", "drop": "2"})

    outcome = base("label", "l", "new=3", "drop=", "--json")

    assert outcome.document["labels"] == {"keep": "1", "new": "3"}


def test_label_of_an_unknown_key_is_exit_code_3(base: CommandLine) -> None:
    outcome = base("label", "wrk", "a=b")

    assert outcome.code == 3
    assert "did you mean 'work'?" in outcome.err
