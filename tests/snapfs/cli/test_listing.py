from __future__ import annotations

import pytest

from .conftest import CommandLine


@pytest.fixture
def filled(snapfs: CommandLine) -> CommandLine:
    snapfs.store.prepare("making")
    snapfs.store.commit("base", "making", {"team": "blue"})
    snapfs.store.prepare("left", "base")
    snapfs.store.prepare("right", "base")
    return snapfs


def test_ls_is_a_plain_table_where_no_one_looks(filled: CommandLine) -> None:
    lines = filled("ls").out.splitlines()

    assert lines[0].split() == ["KEY", "PARENT", "KIND", "OWNER", "AGE", "SIZE"]
    assert lines[1].split()[:4] == ["base", "-", "committed", "local"]
    assert len(lines) == 4
    assert "\x1b" not in "".join(lines)


def test_ls_as_json_is_one_object_a_line(filled: CommandLine) -> None:
    records = filled("ls", "--json").records

    assert [record["name"] for record in records] == ["base", "left", "right"]
    assert records[0]["labels"] == {"team": "blue"}
    assert set(records[0]) == {
        *("name", "parent", "kind", "created", "updated", "labels"),
        *("owner", "driver", "durability", "directory", "lowerdirs", "usage"),
        "id_maps",
    }


def test_ls_takes_several_filters_as_any_of_them(filled: CommandLine) -> None:
    records = filled(
        "ls", "-f", "name==left", "-f", "kind==committed", "--json"
    ).records

    assert {record["name"] for record in records} == {"left", "base"}


def test_info_shows_labels_and_layers(filled: CommandLine) -> None:
    lines = filled("info", "base").out.splitlines()

    facts = dict(line.split(maxsplit=1) for line in lines)
    assert facts["key:"] == "base"
    assert facts["label:"] == "team=blue"
    assert facts["directory:"].startswith("/memory")


def test_info_cuts_long_labels_for_people_only(filled: CommandLine) -> None:
    value = "x" * 3000
    filled("label", "base", f"long={value}")

    text = filled("info", "base").out
    document = filled("info", "base", "--json").document

    assert f"long={'x' * 40}... (3000 characters; --json shows all)\n" in text
    assert document["labels"]["long"] == value


def test_info_as_json_keeps_times_to_the_nanosecond(filled: CommandLine) -> None:
    document = filled("info", "base", "--json").document

    created_ns = filled.store.stat("base").created_ns
    assert document["created"].endswith(f".{created_ns % 1_000_000_000:09d}Z")


def test_info_of_an_unknown_key_suggests_near_ones(filled: CommandLine) -> None:
    outcome = filled("info", "rigth")

    assert outcome.code == 3
    assert outcome.err == (
        "snapfs: snapshot 'rigth' does not exist; did you mean 'right'?\n"
    )


def test_tree_draws_children_below_their_parents(filled: CommandLine) -> None:
    filled.store.commit("top", "left")
    filled.store.prepare("leaf", "top")
    filled.environment["PYTHONIOENCODING"] = "utf-8"

    assert filled("tree").out.splitlines() == [
        "base (committed)",
        "├── right (active)",
        "└── top (committed)",
        "    └── leaf (active)",
    ]


def test_tree_as_json_names_the_children(filled: CommandLine) -> None:
    document = filled("tree", "--json").document

    assert [(node["name"], node["children"]) for node in document] == [
        ("base", ["left", "right"]),
        ("left", []),
        ("right", []),
    ]


def test_tree_draws_a_chain_deeper_than_the_recursion_limit(
    snapfs: CommandLine,
) -> None:
    parent = ""
    for number in range(1200):
        snapfs.store.prepare("making", parent)
        parent = f"layer-{number}"
        snapfs.store.commit(parent, "making")

    assert len(snapfs("tree").out.splitlines()) == 1200


def test_names_with_control_characters_do_not_reach_the_terminal(
    snapfs: CommandLine,
) -> None:
    snapfs.store.prepare("evil\x1b[31m\rname")

    for words in (("ls",), ("tree",), ("usage",), ("info", "evil\x1b[31m\rname")):
        out = snapfs(*words).out
        assert "\x1b" not in out
        assert "evil\\x1b[31m\\rname" in out
