"""``ctr snapshots`` and ``snapfs`` tell the same story about the same snapshots."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.containerd import require_generation
from support.containerd_stack import Stack, running_stack
from support.images import IMAGE

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


def client_key(key: str) -> str:
    """Return the part of a proxy's key that clients know: "NAMESPACE/NUMBER/KEY".

    containerd ``core/metadata/snapshot.go``, ``createKey``.
    """
    return key.split("/", 2)[2] if key else ""


@pytest.fixture(scope="module", params=["packaged", "built"])
def busy(request: pytest.FixtureRequest, archive: Path) -> Iterator[Stack]:
    """Snapshots of every kind: layers, a container, a view; all tests only look."""
    with running_stack(require_generation(request.param)) as stack:
        containerd = stack.containerd
        containerd.import_image(archive)
        containerd.run(
            IMAGE, "editor", "sh", "-c", "seq 100000 >/numbers; rm /srv/app/data"
        )
        containerd.run(IMAGE, "sleeper", "sleep", "1000", options=("--detach",))
        containerd.snapshots("commit", "edited", "editor")
        containerd.snapshots("view", "look", "edited")
        yield stack
        containerd.remove_everything()


def test_listings_agree(busy: Stack) -> None:
    listed = {
        (row.key, row.parent, row.kind) for row in busy.containerd.list_snapshots()
    }

    ours = {
        (client_key(row["name"]), client_key(row["parent"]), row["kind"])
        for row in busy.snapfs.records("ls")
    }

    assert ours == listed
    assert {kind for _, _, kind in ours} == {"active", "committed", "view"}
    assert {row["owner"] for row in busy.snapfs.records("ls")} == {"containerd"}


def test_trees_agree(busy: Stack) -> None:
    edges: set[tuple[str, str]] = set()
    path: list[str] = []
    for line in busy.containerd.snapshots("tree").splitlines():
        # " KEY", "  \_ CHILD", "    \_ GRANDCHILD": two columns a level.
        indent, key = re.fullmatch(r" ( *)(?:\\_ )?(\S+)", line).groups()  # type: ignore[union-attr]  # a line that does not match fails the test
        path[len(indent) // 2 + (1 if "\\_" in line else 0) :] = [key]
        edges.add((path[-2] if len(path) > 1 else "", key))

    ours = {
        (client_key(snapshot["name"]), client_key(child))
        for snapshot in busy.snapfs.document("tree")
        for child in snapshot["children"]
    }

    assert ours == {(parent, child) for parent, child in edges if parent}


def test_usages_agree(busy: Stack) -> None:
    rows = [
        line.split()
        for line in busy.containerd.snapshots("usage", "-b").splitlines()[1:]
    ]
    measured = {key: (int(size), int(inodes)) for key, size, inodes in rows}

    ours = {
        client_key(row["name"]): (row["size_bytes"], row["inodes"])
        for row in busy.snapfs.records("usage")
    }

    assert ours == measured
    assert ours["look"] == (0, 0)
    assert ours["edited"][0] > 588_895  # what `seq 100000` prints


def test_infos_agree(busy: Stack) -> None:
    for row in busy.snapfs.records("ls"):
        shown = json.loads(busy.containerd.snapshots("info", client_key(row["name"])))

        ours = busy.snapfs.document("info", row["name"])

        assert client_key(ours["name"]) == shown["Name"]
        assert client_key(ours["parent"]) == shown.get("Parent", "")
        assert ours["kind"] == shown["Kind"].lower()


def test_the_command_line_leaves_snapshots_of_containerd_alone(
    busy: Stack,
) -> None:
    [look] = [row["name"] for row in busy.snapfs.records("ls") if row["kind"] == "view"]

    status = busy.snapfs.status_of("rm", look)

    assert status == 5  # failed precondition
    assert "look" in {row.key for row in busy.containerd.list_snapshots()}
