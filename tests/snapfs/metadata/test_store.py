"""MetadataStore: transactions, numbers, and what survives a restart."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import (
    FailedPreconditionError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.metadata import MetadataStore, Row
from snapfs.model import Durability, Kind, Usage
from support.rows import STORE_ID, active, committed, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


@pytest.fixture
def metadata(path: Path) -> Iterator[MetadataStore]:
    with opened(path) as store:
        yield store


def test_rows_are_the_same_after_opening_again(path: Path) -> None:
    with opened(path) as metadata:
        base = committed(metadata, "base", root_opaque=True)
        shared = committed(metadata, "shared", base, layer_id=base.layer_id)
        metadata.set_usage(shared, Usage(4096, 3))
        active(metadata, "a", base)
        active(metadata, "v", base, kind=Kind.VIEW)
        before = sorted(metadata.rows(), key=lambda row: row.snapshot_id)

    with opened(path) as metadata:
        after = sorted(metadata.rows(), key=lambda row: row.snapshot_id)

    assert after == before
    assert len(after) == 4


def test_durability_is_wal_with_full_sync(metadata: MetadataStore) -> None:
    connection = metadata._connection

    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_labels_with_any_text_survive(path: Path) -> None:
    labels = {"emoji": "🦭", "quote": "\"'\\", "nul": "a\0b", "line": "a\nb"}
    with opened(path) as metadata:
        row = active(metadata, "k\0e\ny")
        info = dataclasses.replace(row.info, labels=labels)
        metadata.replace(row, dataclasses.replace(row, info=info, generation=2))

    with opened(path) as metadata:
        assert metadata.get("k\0e\ny").info.labels == labels


# -- numbers --------------------------------------------------------------------


def test_numbers_are_never_given_twice_across_openings(path: Path) -> None:
    seen: set[int] = set()
    for _ in range(5):
        with opened(path) as metadata:
            numbers = [metadata.allocate_id() for _ in range(70)]
        assert seen.isdisjoint(numbers)
        seen.update(numbers)

    assert min(seen) == 1


def test_numbers_are_never_given_twice_after_a_kill(path: Path) -> None:
    given: list[int] = []
    for _ in range(3):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with opened(path) as metadata:
                number = metadata.allocate_id()
                os.write(writer, f"{number}".encode())
                os._exit(0)  # without closing anything
        os.close(writer)
        with os.fdopen(reader) as answer:
            given.append(int(answer.read()))
        os.waitpid(child, 0)

    assert len(set(given)) == 3


def test_numbers_are_given_once_to_many_threads(metadata: MetadataStore) -> None:
    numbers: list[int] = []

    def take() -> None:
        numbers.extend(metadata.allocate_id() for _ in range(100))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(numbers)) == 800


def test_no_number_is_used_up_that_was_not_reserved_on_disk(path: Path) -> None:
    with opened(path) as metadata:
        number = metadata.allocate_id()
        (reserved,) = metadata._connection.execute(
            "SELECT value FROM store WHERE name = 'next_id'"
        ).fetchone()

        assert number < int(reserved) == metadata.first_unused_id


# -- transactions ----------------------------------------------------------------


def fail_commits(metadata: MetadataStore) -> None:
    """Make every transaction fail at its end, as on a full disk."""
    metadata._connection.execute("PRAGMA max_page_count = 1")


def test_a_verb_that_cannot_be_written_changes_nothing(
    metadata: MetadataStore, path: Path
) -> None:
    base = committed(metadata, "base")
    row = active(metadata, "a", base)
    number = metadata.allocate_id()
    fail_commits(metadata)
    labels = {str(number): "x" * 4000 for number in range(10)}
    info = dataclasses.replace(row.info, labels=labels)

    with pytest.raises(ResourceExhaustedError, match="no space"):
        metadata.replace(row, dataclasses.replace(row, info=info))
    with pytest.raises(ResourceExhaustedError, match="no space"):
        metadata.create_snapshot(
            dataclasses.replace(
                row,
                info=dataclasses.replace(info, name="b"),
                snapshot_id=number,
                layer_id=number,
            )
        )

    assert metadata.get("a") is row
    assert metadata.find("b") is None
    assert metadata.integrity_errors() == []
    metadata.close()
    with opened(path) as again:
        assert len(again) == 2


def test_a_row_that_changed_meanwhile_is_not_replaced(metadata: MetadataStore) -> None:
    row = active(metadata, "a")
    newer = dataclasses.replace(row, generation=2)
    metadata.replace(row, newer)

    with pytest.raises(NotFoundError):
        metadata.replace(row, dataclasses.replace(row, generation=3))

    assert metadata.get("a") is newer


def test_a_parent_that_was_made_anew_meanwhile_is_another(
    metadata: MetadataStore,
) -> None:
    old_base = committed(metadata, "base")
    metadata.remove("base")
    committed(metadata, "base")

    with pytest.raises(NotFoundError, match="base"):
        active(metadata, "a", old_base)

    assert metadata.find("a") is None


def test_a_rebase_parent_that_was_made_anew_meanwhile_is_another(
    metadata: MetadataStore,
) -> None:
    row = active(metadata, "a")
    old_base = committed(metadata, "base")
    metadata.remove("base")
    committed(metadata, "base")
    new = dataclasses.replace(
        row,
        info=dataclasses.replace(
            row.info, name="c", parent="base", kind=Kind.COMMITTED
        ),
        parent_id=old_base.snapshot_id,
    )

    with pytest.raises(NotFoundError, match="base"):
        metadata.commit(row, new)

    assert metadata.get("a") is row
    assert metadata.integrity_errors() == []


def test_usage_is_remembered_for_the_row_that_was_measured(
    metadata: MetadataStore,
) -> None:
    row = committed(metadata, "base")

    metadata.set_usage(row, Usage(1, 1))

    assert metadata.get("base").usage == Usage(1, 1)
    with pytest.raises(NotFoundError):
        metadata.set_usage(row, Usage(2, 2))


def test_removal_refuses_parents_and_frees_the_name(metadata: MetadataStore) -> None:
    base = committed(metadata, "base")
    active(metadata, "a", base)

    with pytest.raises(FailedPreconditionError, match="cannot remove"):
        metadata.remove("base")
    metadata.remove("a")
    metadata.remove("base")

    assert len(metadata) == 0
    assert not metadata.is_needed(base.snapshot_id)
    with pytest.raises(NotFoundError):
        metadata.remove("base")


def test_a_closed_store_refuses_to_write(path: Path) -> None:
    with opened(path) as metadata:
        pass

    with pytest.raises(UnavailableError):
        active(metadata, "a")


# -- chains and shared layers ------------------------------------------------------


def names(rows: Iterator[Row]) -> list[str]:
    return [row.key for row in rows]


def test_layers_run_from_the_top_down(metadata: MetadataStore) -> None:
    base = committed(metadata, "base")
    middle = committed(metadata, "middle", base)
    top = committed(metadata, "top", middle)

    assert names(metadata.layers(top)) == ["top", "middle", "base"]
    assert names(metadata.layers_below(top)) == ["middle", "base"]
    assert names(metadata.layers_below(base)) == []


def test_an_opaque_root_ends_the_chain(metadata: MetadataStore) -> None:
    base = committed(metadata, "base")
    opaque = committed(metadata, "opaque", base, root_opaque=True)
    top = committed(metadata, "top", opaque)

    assert names(metadata.layers(top)) == ["top", "opaque"]
    assert names(metadata.layers_below(opaque)) == []


def test_a_chain_goes_by_number_although_a_name_was_given_anew(
    metadata: MetadataStore,
) -> None:
    base = committed(metadata, "base")
    row = active(metadata, "a", base)
    metadata.remove("a")
    metadata.remove("base")
    committed(metadata, "base")

    assert names(metadata.layers_below(row)) == []
    assert not metadata.is_current(row)


def test_a_shared_layer_is_needed_until_its_last_user_is_gone(
    path: Path,
) -> None:
    with opened(path) as metadata:
        first = committed(metadata, "first")
        second = committed(metadata, "second", layer_id=first.layer_id)
        metadata.remove("first")

        assert metadata.is_needed(first.snapshot_id)

    with opened(path) as metadata:
        assert metadata.is_needed(first.snapshot_id)
        assert metadata.is_needed(second.snapshot_id)
        metadata.remove("second")

        assert not metadata.is_needed(first.snapshot_id)
        assert not metadata.is_needed(second.snapshot_id)


# -- whether the last process closed properly ---------------------------------------


def was_clean(path: Path) -> bool:
    with opened(path) as metadata:
        return metadata.was_clean


def test_a_new_store_and_one_that_was_only_read_are_clean(path: Path) -> None:
    assert was_clean(path)
    assert was_clean(path)


def test_a_store_is_clean_after_changes_and_closing(path: Path) -> None:
    with opened(path) as metadata:
        metadata.mark_dirty()
        active(metadata, "a")

    assert was_clean(path)


def test_a_store_that_was_not_closed_is_not_clean(path: Path) -> None:
    metadata = MetadataStore.create(str(path), STORE_ID)
    metadata.mark_dirty()
    metadata._connection.close()

    assert not was_clean(path)


def test_a_verb_that_failed_halfway_leaves_the_store_unclean(path: Path) -> None:
    with opened(path) as metadata:
        metadata.mark_dirty()
        metadata.require_recovery()

    assert not was_clean(path)


def test_closing_succeeds_although_the_disk_is_full(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise ResourceExhaustedError("no space left")

    with opened(path) as metadata:
        metadata.mark_dirty()
        monkeypatch.setattr("snapfs.metadata.schema.write_value", full)
    monkeypatch.undo()

    assert not was_clean(path)


def test_reading_writes_nothing(path: Path) -> None:
    with opened(path) as metadata:
        active(metadata, "a")
    before = path.read_bytes()

    with opened(path) as metadata:
        assert metadata.get("a").key == "a"
        assert metadata.integrity_errors() == []

    assert path.read_bytes() == before


def test_durability_is_told_per_row(path: Path) -> None:
    with opened(path) as metadata:
        row = committed(metadata, "base")

    assert row.durability is Durability.NONE
