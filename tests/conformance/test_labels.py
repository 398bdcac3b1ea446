"""Labels: their limit, their life, and those that mean something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.layers import Workbench
from conformance.population import commit_empty, listing, names
from snapfs.errors import InvalidArgumentError
from snapfs.model import Info
from snapfs.snapshotter import Snapshotter

# Key and value together, in bytes; pkg/labels/validate.go.
LABEL_LIMIT = 4096

REF = "containerd.io/snapshot.ref"
UID_MAPPING = "containerd.io/snapshot/uidmapping"
GID_MAPPING = "containerd.io/snapshot/gidmapping"

Label = Callable[[Snapshotter, dict[str, str]], object]

EVERY_VERB = [
    pytest.param(lambda s, labels: s.prepare("new", "base", labels), id="prepare"),
    pytest.param(lambda s, labels: s.view("new", "base", labels), id="view"),
    pytest.param(lambda s, labels: s.commit("new", "active", labels), id="commit"),
    pytest.param(
        lambda s, labels: s.update(Info("new-info", labels=labels)), id="update"
    ),
]


@pytest.fixture
def prepared(snapshots: Snapshotter) -> Snapshotter:
    """A store in which every row of ``EVERY_VERB`` can work."""
    commit_empty(snapshots, "base")
    snapshots.prepare("active", "base")
    snapshots.prepare("new-info", "base")
    return snapshots


@pytest.mark.parametrize("verb", EVERY_VERB)
@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_label_of_4096_bytes_is_kept(
    prepared: Snapshotter, verb: Label, letter: str
) -> None:
    size = len(letter.encode())
    label = {"k" * size: letter * (LABEL_LIMIT // size - 1)}

    verb(prepared, label)

    assert label in [info.labels for info in listing(prepared)]


@pytest.mark.parametrize("verb", EVERY_VERB)
@pytest.mark.parametrize(
    "label",
    [
        pytest.param({"k": "x" * LABEL_LIMIT}, id="a value"),
        pytest.param({"k" * LABEL_LIMIT: "x"}, id="a key"),
        pytest.param({"k": "é" * (LABEL_LIMIT // 2)}, id="bytes, not letters"),
    ],
)
def test_a_label_of_4097_bytes_is_refused(
    prepared: Snapshotter, verb: Label, label: dict[str, str]
) -> None:
    before = listing(prepared)

    with pytest.raises(InvalidArgumentError):
        verb(prepared, {"fine": "1", **label})

    assert listing(prepared) == before


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_a_label_with_an_empty_value_is_not_kept(
    prepared: Snapshotter, verb: Label
) -> None:
    verb(prepared, {"kept": "1", "dropped": ""})

    kept = [dict(info.labels) for info in listing(prepared) if info.labels]
    assert kept == [{"kept": "1"}]


def test_labels_hold_any_text(snapshots: Snapshotter) -> None:
    labels = {"a b=c,d": '{"json": ["ä", 1]}', "\N{SNOWMAN}": "line\nline\ttab"}

    snapshots.prepare("key", labels=labels)

    assert snapshots.stat("key").labels == labels
    assert names(snapshots, 'labels."a b=c,d"') == ["key"]


def test_a_snapshot_reference_can_be_found(snapshots: Snapshotter) -> None:
    """The filter is the one of core/metadata/snapshot.go, for remote snapshots."""
    key, target = "k8s.io/7/extract-1 sha256:bb", "sha256:bb"
    commit_empty(snapshots, "k8s.io/3/sha256:aa", "", {REF: "sha256:aa"})
    snapshots.prepare(key, "k8s.io/3/sha256:aa", {REF: target, "other": "1"})
    wanted = f'labels."{REF}"=={target},parent=="k8s.io/3/sha256:aa"'

    before = names(snapshots, wanted)
    snapshots.commit("k8s.io/8/sha256:bb", key, {REF: target})

    assert before == [key]
    assert names(snapshots, wanted) == ["k8s.io/8/sha256:bb"]
    assert names(snapshots, f'labels."{REF}"==sha256:cc') == []


@pytest.mark.parametrize("parent", ["", "base"])
def test_identity_mappings_give_the_root_its_owner(
    workbench: Workbench, parent: str
) -> None:
    """As createSnapshot in containerd's plugins/snapshots/overlay/overlay.go."""
    commit_empty(workbench.snapshots, "base")
    mapping = {UID_MAPPING: "1:9:1,0:1000:65536", GID_MAPPING: "0:2000:65536"}

    with workbench.mounted(
        workbench.snapshots.prepare("key", parent, mapping)
    ) as merged:
        status = merged.stat()

    assert (status.st_uid, status.st_gid) == (1000, 2000)
    assert workbench.snapshots.stat("key").labels == mapping


@pytest.mark.parametrize("verb", ["prepare", "view"])
@pytest.mark.parametrize(
    "mapping",
    [
        pytest.param("nonsense", id="not numbers"),
        pytest.param("0:1000", id="two numbers"),
        pytest.param("1:1000:10", id="root is not mapped"),
        pytest.param("0:1000:0", id="an empty range"),
        pytest.param("0:-1:1", id="a negative number"),
        pytest.param("0:1000:65536,", id="an empty item"),
        pytest.param("0:4294967295:1", id="no such identity"),
    ],
)
def test_an_identity_mapping_that_cannot_be_used_is_refused(
    prepared: Snapshotter, verb: str, mapping: str
) -> None:
    before = listing(prepared)

    with pytest.raises(InvalidArgumentError):
        getattr(prepared, verb)(
            "key", "base", {UID_MAPPING: mapping, GID_MAPPING: "0:1000:10"}
        )

    assert listing(prepared) == before
