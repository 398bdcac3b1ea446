"""Which snapshots a filter matches, as containerd's own filters would."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.errors import InvalidArgumentError
from snapfs.metadata.filters import parse_filters
from snapfs.model import Info, Kind

REF = "containerd.io/snapshot.ref"
GC_ROOT = {"containerd.io/gc.root": "check-walk"}

# The snapshots that containerd's conformance suite prepares for its Walk test.
WALKED = (
    Info("a-np", "", Kind.ACTIVE, labels=GC_ROOT),
    Info("p", "", Kind.COMMITTED, labels=GC_ROOT),
    Info("a", "p", Kind.ACTIVE, labels=GC_ROOT),
    Info("v", "p", Kind.VIEW, labels=GC_ROOT),
    Info("p-wl", "", Kind.COMMITTED, labels=GC_ROOT | {"l": "1"}),
    Info("a-wl", "p-wl", Kind.ACTIVE, labels=GC_ROOT | {"l": "2"}),
    Info("v-wl", "p-wl", Kind.VIEW, labels=GC_ROOT | {"l": "3"}),
    Info("a-np-wl", "", Kind.ACTIVE, labels=GC_ROOT | {"l": "2"}),
)
MARKED = 'labels."containerd.io/gc.root"==check-walk'

SAMPLES = (
    Info("foo", labels={"foo": "true"}),
    Info("bar", "base", Kind.VIEW),
    Info("k8s.io/12/sha256:ab", "k8s.io/11/sha256:cd", Kind.COMMITTED),
    Info("spaced name", labels={"a key": "x, y", 'with \\ and "': "present"}),
    Info("牛", labels={"a.b": "dotted", "foo": "omg_asdf.asdf-qwer", "": "nameless"}),
)
FOO, BAR, LAYER, SPACED, COW = (info.name for info in SAMPLES)

# No deadline: the machine may be busy. No database: it would be a folder here.
property_settings = settings(deadline=None, database=None)


def names_of(filters: list[str], infos: tuple[Info, ...] = SAMPLES) -> list[str]:
    matches = parse_filters(filters)
    return [info.name for info in infos if matches(info)]


def quote(value: str) -> str:
    """Write ``value`` as Go's %q does, JSON's escapes being a part of Go's."""
    return json.dumps(value, ensure_ascii=False).replace("\ufffd", "\\ufffd")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param([MARKED], "a-np p a v p-wl a-wl v-wl a-np-wl", id="label"),
        pytest.param(
            [f"kind==active,{MARKED}"], "a-np a a-wl a-np-wl", id="active and label"
        ),
        pytest.param([f"kind==view,{MARKED}"], "v v-wl", id="view and label"),
        pytest.param([f"kind==committed,{MARKED}"], "p p-wl", id="committed and label"),
        pytest.param(["name==p", "name==a-np-wl"], "p a-np-wl", id="either name"),
        pytest.param(["name==a-wl,labels.l"], "a-wl", id="name and presence"),
        pytest.param(["parent==p"], "a v", id="parent"),
        pytest.param([f'parent!="",{MARKED}'], "a v a-wl v-wl", id="has a parent"),
        pytest.param(["labels.l"], "p-wl a-wl v-wl a-np-wl", id="presence"),
        pytest.param(["labels.l==2"], "a-wl a-np-wl", id="label value"),
    ],
)
def test_walk_filters_of_the_conformance_suite_match(
    filters: list[str], expected: str
) -> None:
    assert names_of(filters, WALKED) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("name", [FOO, BAR, LAYER, SPACED, COW], id="name is present"),
        pytest.param("parent", [FOO, BAR, LAYER, SPACED, COW], id="parent is too"),
        pytest.param('parent==""', [FOO, SPACED, COW], id="no parent"),
        pytest.param("kind!=active", [BAR, LAYER], id="not active"),
        pytest.param("kind==ACTIVE", [], id="kinds are lower case"),
        pytest.param("labels.foo", [FOO, COW], id="label is present"),
        pytest.param("labels.foo,name==foo", [FOO], id="both"),
        pytest.param("labels.foo==omg_asdf.asdf-qwer", [COW], id="dots and dashes"),
        pytest.param(
            "labels.foo!=true", [BAR, LAYER, SPACED, COW], id="absent differs"
        ),
        pytest.param('labels.foo!=""', [FOO, COW], id="absent reads as empty"),
        pytest.param('labels.none==""', [], id="absent equals nothing"),
        pytest.param('labels."a key"=="x, y"', [SPACED], id="quoted key and value"),
        pytest.param(r'labels."with \\ and \""', [SPACED], id="escaped key"),
        pytest.param("labels.a.b==dotted", [COW], id="label key of two fields"),
        pytest.param('labels."a.b"', [COW], id="the same key quoted"),
        pytest.param('labels."a".b', [COW], id="the same key half quoted"),
        pytest.param("labels", [COW], id="labels alone is the key ''"),
        pytest.param("name.of.it==foo", [FOO], id="the path behind name is ignored"),
        pytest.param('"name"==foo', [FOO], id="quoted field"),
        pytest.param("names", [], id="unknown field"),
        pytest.param("names!=x", [FOO, BAR, LAYER, SPACED, COW], id="unknown differs"),
        pytest.param("name==k8s.io/12/sha256:ab", [LAYER], id="plain / and :"),
        pytest.param("name==牛", [COW], id="plain Unicode"),
        pytest.param(r'name=="\u725b"', [COW], id="escaped Unicode"),
        pytest.param(r'name=="\xe7\x89\x9b"', [COW], id="escaped bytes"),
        pytest.param(" name == foo,\tname != bar", [FOO], id="white space"),
    ],
)
def test_selectors_match(text: str, expected: list[str]) -> None:
    assert names_of([text]) == expected


@pytest.mark.parametrize("filters", [[], [""], ["name==foo", ""]])
def test_no_filter_and_an_empty_one_match_every_snapshot(filters: list[str]) -> None:
    assert len(names_of(filters)) == len(SAMPLES)


def test_an_empty_filter_does_not_excuse_a_broken_one() -> None:
    with pytest.raises(InvalidArgumentError):
        parse_filters(["", "name=="])


def test_snapshots_match_any_of_several_filters() -> None:
    filters = ["kind==view", "name==foo,labels.none", "labels.foo==true"]

    assert names_of(filters) == [FOO, BAR]


def test_remote_snapshot_lookup_of_containerd_matches_ref_and_parent() -> None:
    target, parent = "sha256:" + "1" * 64, 'k8s.io/12/a "layer"'
    wanted = Info("wanted", parent, Kind.COMMITTED, labels={REF: target})
    others = (
        Info("other parent", "", Kind.COMMITTED, labels={REF: target}),
        Info("other ref", parent, Kind.COMMITTED, labels={REF: target + "1"}),
        Info("no ref", parent, Kind.COMMITTED),
    )

    found = names_of(
        [f'labels."{REF}"=={target},parent=={quote(parent)}'], (wanted, *others)
    )

    assert found == ["wanted"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("name~=o", [FOO, LAYER], id="not anchored"),
        pytest.param("name~=^foo$", [FOO], id="anchored"),
        pytest.param("name~=[ab]+,kind==view", [BAR], id="with another selector"),
        pytest.param("name~=/^.{3,4}$/", [FOO, BAR], id="slashes allow a comma"),
        pytest.param(r"name~=/\/\\d+\//", [LAYER], id="slashes escape themselves"),
        pytest.param("name~=|/12/|", [LAYER], id="bars need no escaped slash"),
        pytest.param('name~="^[[:alpha:]]+ "', [SPACED], id="double quotes"),
        pytest.param(r"name~=^\w+$", [FOO, BAR], id="plain backslash"),
        pytest.param("name~=^.$", [COW], id="one character, not one byte"),
        pytest.param("name~=(?i)FOO", [FOO], id="flags"),
        pytest.param(
            "labels.foo~=^$", [BAR, LAYER, SPACED], id="absent reads as empty"
        ),
    ],
)
def test_regular_expressions_are_searched_for(text: str, expected: list[str]) -> None:
    assert names_of([text]) == expected


@pytest.mark.parametrize("pattern", ["(", "a**", "a(?!b)", r'"\xff"', "a{1001}"])
def test_a_bad_regular_expression_matches_nothing_and_is_logged(
    pattern: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        found = names_of([f"name~={pattern}"])

    assert found == []
    assert "never matches" in caplog.text
    assert capfd.readouterr().err == ""


def test_a_regular_expression_that_makes_backtracking_explode_completes() -> None:
    info = Info("a" * 50_000 + "!")

    assert names_of(["name~=/^(a+)+(a*)*$/"], (info,)) == []


def test_a_name_that_is_not_utf8_reads_as_replacement_characters() -> None:
    # os.fsdecode, which the command line's arguments come through, makes such names.
    info = Info("a\udcffb")

    assert names_of(["name~=^a.b$"], (info,)) == [info.name]
    assert names_of([r'name=="a\xffb"'], (info,)) == [info.name]


@property_settings
@given(st.text(), st.text(), st.text())
def test_a_quoted_label_matches_exactly_the_snapshots_that_have_it(
    key: str, value: str, other: str
) -> None:
    infos = (
        Info("has it", labels={key: value}),
        Info("has another value", labels={key: value + "x"}),
        Info("has an arbitrary value", labels={key: other}),
        Info("has none"),
    )
    text = f"labels.{quote(key)}=={quote(value)}"

    found = names_of([text], infos)

    assert found == [i.name for i in infos if i.labels.get(key) == value]


# Text made of the characters that the grammar gives a meaning to.
GRAMMATICAL = st.text('ab0_.,=!~"/|\\ \n\0xuU7f\ufffd牛\udc80')


@property_settings
@given(st.text(st.characters(exclude_categories=())) | GRAMMATICAL)
def test_any_text_is_a_filter_or_one_line_of_invalid_argument(text: str) -> None:
    faults = []

    try:
        names_of([text])
    except InvalidArgumentError as error:
        faults = str(error).splitlines()

    assert len(faults) <= 1


@property_settings
@given(GRAMMATICAL)
def test_any_regular_expression_matches_or_not(pattern: str) -> None:
    matches = parse_filters([f"name~={quote(pattern.replace(chr(0xDC80), ''))}"])

    assert isinstance(matches(SAMPLES[0]), bool)
