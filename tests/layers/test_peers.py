"""The conformance table beside other programs: each difference is a known one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from layers.case import Case, tree_of
from layers.peer_results import as_markdown, differing
from layers.peers import PEERS, Peer, running_peer
from layers.table import CASES

from support.layouts import LayoutWriter
from support.observer import Observer
from support.sandbox import REPOSITORY
from support.tree_metadata import Tree, compare


@pytest.fixture(scope="module", params=PEERS)
def peer_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def peer(
    peer_name: str, observer: Observer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    scratch = tmp_path_factory.mktemp("peer")
    with running_peer(peer_name, scratch, observer) as running:
        yield running


def differences(peer: Peer, case: Case, layout: Path) -> list[str]:
    """Return how the peer's view differs from the case's, a line each."""
    image = LayoutWriter(layout, f"snapfs.test/{case.id}:latest")
    for tar in case.tars():
        image.add_layer([tar])
    image.finish()
    seen = peer.unpack(image)
    if case.view is None:
        return [] if seen is None else ["the peer accepts it"]
    if seen is None:
        return ["the peer refuses it"]
    return compare(_comparable(seen), _comparable(tree_of(case.view)))


def _comparable(tree: Tree) -> Tree:
    """Leave the times of directories out: peers set those of named ones only."""
    return {
        path: dataclasses.replace(entry, mtime_ns=0)
        if entry.type == "directory"
        else entry
        for path, entry in tree.items()
    }


@pytest.mark.root
@pytest.mark.containerd
@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in CASES])
def test_a_peer_differs_where_the_documentation_says_so(
    peer: Peer, peer_name: str, layout: Path, case: Case
) -> None:
    found = differences(peer, case, layout)

    assert bool(found) == (case.id in differing(peer_name)), found


def test_the_documentation_has_the_table_of_differences() -> None:
    assert as_markdown() in (REPOSITORY / "docs/layers.md").read_text()


def test_the_table_of_differences_names_cases() -> None:
    known = {case.id for case in CASES}

    assert all(differing(peer) <= known for peer in PEERS)
