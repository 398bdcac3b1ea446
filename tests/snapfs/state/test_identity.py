"""Which store a directory is; what is none, or damaged, is left as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    SnapfsError,
)
from support.stores import disk_image, opened_store

GOOD = {
    "format": "snapfs-store",
    "version": 1,
    "store_id": "7b1e0e9c-4d36-4b9a-9d0e-3c1c8f3f7a11",
    "xattr_prefix": "user.",
}


def make_store(root: Path) -> None:
    with opened_store(root) as store:
        store.prepare("a")
        store.commit("c", "a")


def refuse(root: Path, error: type[SnapfsError], words: str) -> None:
    """Opening must raise ``error`` and leave the disk as it was."""
    (root / "lock").touch(0o600)
    before = disk_image(root)
    del before["lock"]

    with pytest.raises(error, match=words), opened_store(root):
        pass

    after = disk_image(root)
    del after["lock"]
    assert after == before


def test_an_identity_survives_opening_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with opened_store(root) as store:
        first = store.status()

    with opened_store(root) as store:
        assert store.status().store_id == first.store_id
        assert store.status().xattr_prefix == "user."


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(json.dumps, id="short"),
        pytest.param(lambda document: json.dumps(document, indent=2), id="no-newline"),
        pytest.param(
            lambda document: json.dumps({"more": 1, **document}, indent=2) + "\n",
            id="more",
        ),
    ],
)
def test_an_identity_in_other_json_is_read(
    tmp_path: Path, write: Callable[[object], str]
) -> None:
    root = tmp_path / "store"
    make_store(root)
    path = root / "store.json"
    first = json.loads(path.read_text())
    assert path.read_text() == json.dumps(first, indent=2) + "\n"
    path.write_text(write(first))

    with opened_store(root) as store:
        assert store.status().store_id == first["store_id"]


def test_two_stores_have_two_identities(tmp_path: Path) -> None:
    with (
        opened_store(tmp_path / "one") as one,
        opened_store(tmp_path / "two") as two,
    ):
        assert one.status().store_id != two.status().store_id


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        pytest.param("", DataLossError, "damaged", id="empty"),
        pytest.param("{", DataLossError, "damaged", id="cut"),
        pytest.param("[]", DataLossError, "damaged", id="not-an-object"),
        pytest.param(
            json.dumps({**GOOD, "version": "1"}), DataLossError, "damaged", id="types"
        ),
        pytest.param(
            json.dumps({**GOOD, "version": 0}), DataLossError, "version 0", id="version"
        ),
        pytest.param(
            json.dumps({**GOOD, "xattr_prefix": "security."}),
            DataLossError,
            "xattr prefix",
            id="prefix",
        ),
        pytest.param(
            json.dumps({**GOOD, "version": 2}),
            FailedPreconditionError,
            "format version 2",
            id="newer",
        ),
        pytest.param(
            json.dumps({"format": "snapfs-store", "version": 3, "other": True}),
            FailedPreconditionError,
            "format version 3",
            id="newer-with-other-fields",
        ),
        pytest.param(
            json.dumps({**GOOD, "format": "containers-storage"}),
            InvalidArgumentError,
            "choose another --root",
            id="foreign",
        ),
    ],
)
def test_an_identity_that_cannot_be_used_is_refused_and_changes_nothing(
    tmp_path: Path, content: str, error: type[SnapfsError], words: str
) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "store.json").write_text(content)

    refuse(root, error, words)


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "home"
    root.mkdir()
    (root / "thesis.tex").write_text("years of work")

    refuse(root, InvalidArgumentError, r"thesis\.tex")


def test_a_lost_identity_beside_snapshots_is_not_replaced(tmp_path: Path) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "store.json").unlink()

    refuse(root, DataLossError, r"store\.json is missing")


def test_a_lost_identity_beside_rows_is_not_replaced(tmp_path: Path) -> None:
    # The snapshots may lie on a filesystem of their own that is not mounted now.
    root = tmp_path / "store"
    make_store(root)
    (root / "store.json").unlink()
    (root / "snapshots").rename(tmp_path / "elsewhere")
    before = (root / "metadata.db").read_bytes()

    with pytest.raises(DataLossError, match=r"store\.json"), opened_store(root):
        pass

    assert (root / "metadata.db").read_bytes() == before
    assert not (root / "store.json").exists()


def test_a_missing_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "metadata.db").unlink()

    refuse(root, DataLossError, r"metadata\.db")


def test_an_empty_database_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "metadata.db").write_bytes(b"")

    refuse(root, DataLossError, "empty")


def test_a_database_of_another_store_is_refused(tmp_path: Path) -> None:
    root, other = tmp_path / "store", tmp_path / "other"
    make_store(root)
    make_store(other)
    (root / "metadata.db").write_bytes((other / "metadata.db").read_bytes())

    refuse(root, DataLossError, "belongs to store")


def test_missing_snapshots_are_not_replaced_by_none(tmp_path: Path) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "snapshots").rename(tmp_path / "unmounted")

    refuse(root, DataLossError, "knows 1 snapshots")


def test_missing_scratch_directories_are_made_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    make_store(root)
    (root / "staging").rmdir()
    (root / "trash").rmdir()

    with opened_store(root) as store:
        store.prepare("b", "c")

        assert store.check() == []


@pytest.mark.parametrize(
    "left", [["snapshots"], ["snapshots", "staging", "trash"]], ids=len
)
def test_a_creation_that_was_cut_short_is_completed(
    tmp_path: Path, left: list[str]
) -> None:
    root = tmp_path / "store"
    root.mkdir()
    for name in left:
        (root / name).mkdir()
    (root / "store.json.new").write_text("{")

    with opened_store(root) as store:
        store.prepare("a")

        assert store.check() == []


def test_a_root_with_lost_and_found_becomes_a_store(tmp_path: Path) -> None:
    root = tmp_path / "store"
    (root / "lost+found").mkdir(parents=True)

    with opened_store(root) as store:
        assert store.check() == []
