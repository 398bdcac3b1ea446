"""The rules of the contract, in containerd's order; see storage/bolt.go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
)
from snapfs.metadata import MetadataStore
from snapfs.metadata.labels import MAX_LABEL_BYTES, checked_labels
from snapfs.model import Kind
from support.rows import active, committed, opened


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[MetadataStore]:
    with opened(tmp_path / "metadata.db") as store:
        base = committed(store, "base")
        committed(store, "other", base)
        active(store, "active")
        active(store, "on-base", base)
        active(store, "view", base, kind=Kind.VIEW)
        yield store


@pytest.mark.parametrize(
    ("key", "parent", "error"),
    [
        pytest.param("", "", InvalidArgumentError, id="no-key"),
        pytest.param("\udcff", "", InvalidArgumentError, id="not-text"),
        pytest.param("new", "missing", NotFoundError, id="no-parent"),
        pytest.param("new", "active", InvalidArgumentError, id="active-parent"),
        pytest.param("new", "view", InvalidArgumentError, id="view-parent"),
        pytest.param("active", "", AlreadyExistsError, id="active-key"),
        pytest.param("view", "", AlreadyExistsError, id="view-key"),
        pytest.param("base", "", AlreadyExistsError, id="committed-key"),
        pytest.param("base", "missing", NotFoundError, id="parent-first"),
        pytest.param("base", "active", InvalidArgumentError, id="parent-kind-first"),
    ],
)
def test_creation_is_refused(
    metadata: MetadataStore, key: str, parent: str, error: type[SnapfsError]
) -> None:
    with pytest.raises(error):
        metadata.check_create(key, parent)


def test_creation_finds_the_parent(metadata: MetadataStore) -> None:
    assert metadata.check_create("new", "") is None
    assert metadata.check_create("new", "base") is metadata.get("base")


@pytest.mark.parametrize(
    ("name", "key", "parent", "error"),
    [
        pytest.param("", "active", "", InvalidArgumentError, id="no-name"),
        pytest.param("\ud800", "active", "", InvalidArgumentError, id="not-text"),
        pytest.param("base", "active", "", AlreadyExistsError, id="name-taken"),
        pytest.param("active", "active", "", AlreadyExistsError, id="own-name"),
        pytest.param("base", "missing", "", AlreadyExistsError, id="name-first"),
        pytest.param("new", "missing", "", NotFoundError, id="no-key"),
        pytest.param("new", "view", "", FailedPreconditionError, id="view"),
        pytest.param("new", "base", "", FailedPreconditionError, id="committed"),
        pytest.param("new", "on-base", "other", InvalidArgumentError, id="has-parent"),
        pytest.param("new", "active", "missing", NotFoundError, id="no-parent"),
        pytest.param("new", "active", "view", FailedPreconditionError, id="bad-parent"),
        pytest.param("new", "active", "active", FailedPreconditionError, id="itself"),
    ],
)
def test_commit_is_refused(
    metadata: MetadataStore, name: str, key: str, parent: str, error: type[SnapfsError]
) -> None:
    with pytest.raises(error):
        metadata.check_commit(name, key, parent)


def test_commit_takes_the_parent_that_the_snapshot_has(metadata: MetadataStore) -> None:
    row, parent = metadata.check_commit("new", "on-base", "base")

    assert (row.key, parent) == ("on-base", metadata.get("base"))


def test_commit_rebases_what_has_no_parent(metadata: MetadataStore) -> None:
    row, parent = metadata.check_commit("new", "active", "other")

    assert (row.key, parent) == ("active", metadata.get("other"))


def test_removal_names_the_children(metadata: MetadataStore) -> None:
    with pytest.raises(FailedPreconditionError, match=r"cannot remove .* 3 snapshots"):
        metadata.check_remove("base")
    with pytest.raises(NotFoundError):
        metadata.check_remove("missing")


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        pytest.param({"k": "v" * (MAX_LABEL_BYTES - 1)}, None, id="at-the-limit"),
        pytest.param({"k": "v" * MAX_LABEL_BYTES}, "4097 bytes", id="value"),
        pytest.param({"k" * (MAX_LABEL_BYTES + 1): ""}, "4097 bytes", id="key"),
        pytest.param({"k": "ä" * (MAX_LABEL_BYTES // 2)}, "4097 bytes", id="bytes"),
        pytest.param({"": "v"}, "empty key", id="no-key"),
        pytest.param({"k": "\udcff"}, "Unicode", id="value-is-no-text"),
        pytest.param({"\ud800": "v"}, "Unicode", id="key-is-no-text"),
    ],
)
def test_labels_have_a_limit(labels: dict[str, str], error: str | None) -> None:
    if error is None:
        assert checked_labels(labels) == labels
        return

    with pytest.raises(InvalidArgumentError, match=error):
        checked_labels(labels)


def test_labels_with_an_empty_value_are_dropped() -> None:
    assert checked_labels({"a": "", "b": "c"}) == {"b": "c"}
