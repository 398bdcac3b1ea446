"""``ctr snapshots`` and ``snapfs`` tell the same story about the same snapshots."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.containerd import Containerd
from support.images import IMAGE
from support.snapfs_program import SnapfsProgram

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


def client_key(key: str) -> str:
    """Return the part of a proxy's key that clients know: "NAMESPACE/NUMBER/KEY".

    containerd ``core/metadata/snapshot.go``, ``createKey``.
    """
    return key.split("/", 2)[2] if key else ""


@pytest.fixture
def busy(containerd: Containerd, archive: Path) -> Iterator[Containerd]:
    """containerd with snapshots of every kind: layers, a container, a view."""
    containerd.import_image(archive)
    containerd.run(
        IMAGE, "editor", "sh", "-c", "seq 100000 >/numbers; rm /srv/app/data"
    )
    containerd.run(IMAGE, "sleeper", "sleep", "1000", options=("--detach",))
    containerd.snapshots("commit", "edited", "editor")
    containerd.snapshots("view", "look", "edited")
    yield containerd
    containerd.remove_everything()


def test_listings_agree(busy: Containerd, snapfs: SnapfsProgram) -> None:
    listed = {(row.key, row.parent, row.kind) for row in busy.list_snapshots()}

    ours = {
        (client_key(row["name"]), client_key(row["parent"]), row["kind"])
        for row in snapfs.records("ls")
    }

    assert ours == listed
    assert {kind for _, _, kind in ours} == {"active", "committed", "view"}
    assert {row["owner"] for row in snapfs.records("ls")} == {"containerd"}


def test_trees_agree(busy: Containerd, snapfs: SnapfsProgram) -> None:
    edges: set[tuple[str, str]] = set()
    path: list[str] = []
    for line in busy.snapshots("tree").splitlines():
        # " KEY", "  \_ CHILD", "    \_ GRANDCHILD": two columns a level.
        indent, key = re.fullmatch(r" ( *)(?:\\_ )?(\S+)", line).groups()  # type: ignore[union-attr]  # a line that does not match fails the test
        path[len(indent) // 2 + (1 if "\\_" in line else 0) :] = [key]
        edges.add((path[-2] if len(path) > 1 else "", key))

    ours = {
        (client_key(snapshot["name"]), client_key(child))
        for snapshot in snapfs.document("tree")
        for child in snapshot["children"]
    }

    assert ours == {(parent, child) for parent, child in edges if parent}


def test_usages_agree(busy: Containerd, snapfs: SnapfsProgram) -> None:
    rows = [line.split() for line in busy.snapshots("usage", "-b").splitlines()[1:]]
    measured = {key: (int(size), int(inodes)) for key, size, inodes in rows}

    ours = {
        client_key(row["name"]): (row["size_bytes"], row["inodes"])
        for row in snapfs.records("usage")
    }

    assert ours == measured
    assert ours["look"] == (0, 0)
    assert ours["edited"][0] > 588_895  # what `seq 100000` prints


def test_infos_agree(busy: Containerd, snapfs: SnapfsProgram) -> None:
    for row in snapfs.records("ls"):
        shown = json.loads(busy.snapshots("info", client_key(row["name"])))

        ours = snapfs.document("info", row["name"])

        assert client_key(ours["name"]) == shown["Name"]
        assert client_key(ours["parent"]) == shown.get("Parent", "")
        assert ours["kind"] == shown["Kind"].lower()


def test_the_command_line_leaves_snapshots_of_containerd_alone(
    busy: Containerd, snapfs: SnapfsProgram
) -> None:
    [look] = [row["name"] for row in snapfs.records("ls") if row["kind"] == "view"]

    status = snapfs.status_of("rm", look)

    assert status == 5  # failed precondition
    assert "look" in {row.key for row in busy.list_snapshots()}
