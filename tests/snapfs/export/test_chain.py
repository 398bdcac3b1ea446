"""The snapshots that an image is made of, and whether they are still there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.errors import FailedPreconditionError, NotFoundError
from snapfs.export.chain import base_config, chain_of, check_chain
from snapfs.image.config_labels import config_labels
from snapfs.manager import SnapshotManager
from support.stores import commit_layer, opened_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SnapshotManager]:
    with opened_store(tmp_path / "root") as opened:
        parent = ""
        for name in ("low", "middle", "top"):
            commit_layer(opened, name, parent)
            parent = name
        yield opened


def names(store: SnapshotManager, key: str) -> list[str]:
    return [details.info.name for details in chain_of(store, key)]


def test_a_chain_goes_from_the_lowest_to_what_is_asked_for(
    store: SnapshotManager,
) -> None:
    store.prepare("work", "top")
    store.view("look", "middle")

    assert names(store, "top") == ["low", "middle", "top"]
    assert names(store, "work") == ["low", "middle", "top"]
    assert names(store, "look") == ["low", "middle"]
    with pytest.raises(NotFoundError, match="nothing"):
        names(store, "nothing")


def test_a_snapshot_that_was_removed_meanwhile_is_told(store: SnapshotManager) -> None:
    chain = chain_of(store, "top")
    check_chain(store, chain)
    store.remove("top")

    with pytest.raises(FailedPreconditionError, match="'top' was removed while"):
        check_chain(store, chain)


def test_another_snapshot_of_the_same_name_is_told(store: SnapshotManager) -> None:
    chain = chain_of(store, "top")
    store.remove("top")
    commit_layer(store, "top", "middle")

    with pytest.raises(FailedPreconditionError, match="'top' was removed while"):
        check_chain(store, chain)


def test_the_config_of_the_most_layers_counts(store: SnapshotManager) -> None:
    def config(layers: int) -> bytes:
        ids = ",".join(f'"sha256:{"0" * 64}"' for _ in range(layers))
        return b'{"rootfs":{"type":"layers","diff_ids":[%s]}}' % ids.encode()

    for parent, name, layers in (("", "one", 1), ("one", "two", 2), ("two", "odd", 7)):
        store.prepare(f"making-{name}", parent)
        store.commit(name, f"making-{name}", config_labels(config(layers)))

    assert base_config(chain_of(store, "top")) is None
    assert base_config(chain_of(store, "one")) == config(1)
    assert base_config(chain_of(store, "two")) == config(2)
    # That of other layers, whoever wrote the label.
    assert base_config(chain_of(store, "odd")) == config(2)
