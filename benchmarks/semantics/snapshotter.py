"""Claims about targets that serve containerd's snapshots API.

Metadata is tried through the API alone; as root also the data, through the mounts
that the API returns: a snapshotter may answer well and share one directory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from snapfs.benchmarks.emptying import remove_all
from snapfs.benchmarks.protocols import (
    InvalidResultError,
    SnapshotterTarget,
    Workspace,
)
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    NotFoundError,
    SnapfsError,
)
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.model import Kind, Mount
from snapfs.snapshotter import Snapshotter

_CONTENT: Final = b"content of the lower snapshot " * 4096


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InvalidResultError(problem)


@contextlib.contextmanager
def _refused(error_class: type[SnapfsError], what: str) -> Iterator[None]:
    try:
        yield
    except error_class:
        return
    raise InvalidResultError(f"{what} is not refused")


@contextlib.contextmanager
def _session(target: SnapshotterTarget) -> Iterator[Snapshotter]:
    """Yield a client; afterwards remove every snapshot there is, children first."""
    client = target.connect()
    try:
        yield client
    finally:
        remove_all(client)
        client.close()


@contextlib.contextmanager
def _mounted(
    mounts: Sequence[Mount], workspace: Workspace, name: str
) -> Iterator[Path]:
    place = workspace.run_directory / name
    place.mkdir(exist_ok=True)
    mount_all(mounts, str(place))
    try:
        yield place
    finally:
        unmount(str(place))


def _keeps_the_rules(target: SnapshotterTarget, workspace: Workspace) -> None:
    with _session(target) as client:
        _require(bool(client.prepare("a")), "prepare returns no mounts")
        with _refused(AlreadyExistsError, "a key that is taken"):
            client.prepare("a")
        with _refused(NotFoundError, "a parent that does not exist"):
            client.prepare("b", "nobody")
        client.commit("base", "a")
        with _refused(NotFoundError, "a key that was committed"):
            client.stat("a")
        child = client.prepare("child", "base")
        _require(client.mounts("child") == child, "mounts differs from prepare")
        with _refused(FailedPreconditionError, "removal of a parent"):
            client.remove("base")
        info = client.stat("child")
        _require(info.kind is Kind.ACTIVE, f"an active snapshot is {info.kind}")
        _require(info.parent == "base", f"the parent is {info.parent!r}")


def _remembers(target: SnapshotterTarget, workspace: Workspace) -> None:
    names = {f"layer-{number}" for number in range(20)}
    with _session(target) as client:
        parent = ""
        for name in sorted(names):
            client.prepare(f"{name}-key", parent)
            client.commit(name, f"{name}-key", labels={"layer": name})
            parent = name
        other = target.connect()
        try:
            listed = {info.name: info.labels.get("layer") for info in other.walk()}
        finally:
            other.close()
        _require(listed == {name: name for name in names}, "snapshots are missing")
        client.remove(parent)
        with _refused(NotFoundError, "a snapshot that was removed"):
            client.stat(parent)


def _commit_base(client: Snapshotter, workspace: Workspace) -> None:
    with _mounted(client.prepare("base-key"), workspace, "base") as root:
        (root / "file").write_bytes(_CONTENT)
        (root / "removed").write_bytes(_CONTENT)
    client.commit("base", "base-key")


def _child_shows_parent(target: SnapshotterTarget, workspace: Workspace) -> None:
    with _session(target) as client:
        _commit_base(client, workspace)
        with _mounted(client.prepare("child", "base"), workspace, "child") as root:
            _require((root / "file").is_file(), "a file of the parent is missing")
            _require((root / "file").read_bytes() == _CONTENT, "content differs")


def _never_changes_parents(target: SnapshotterTarget, workspace: Workspace) -> None:
    with _session(target) as client:
        _commit_base(client, workspace)
        with _mounted(client.prepare("child", "base"), workspace, "child") as root:
            with (root / "file").open("r+b") as file:
                file.write(b"CHANGED")
            (root / "removed").unlink()
            (root / "added").write_bytes(b"added")
        with _mounted(client.view("look", "base"), workspace, "look") as root:
            _require((root / "file").read_bytes() == _CONTENT, "a parent was changed")
            _require((root / "removed").exists(), "a parent lost a file")
            _require(not (root / "added").exists(), "a parent gained a file")


def _keeps_children_apart(target: SnapshotterTarget, workspace: Workspace) -> None:
    with _session(target) as client:
        _commit_base(client, workspace)
        one, two = client.prepare("one", "base"), client.prepare("two", "base")
        with _mounted(one, workspace, "one") as root:
            (root / "file").write_bytes(b"mine")
        with _mounted(two, workspace, "two") as root:
            _require((root / "file").read_bytes() == _CONTENT, "siblings share data")


def _keeps_what_is_committed(target: SnapshotterTarget, workspace: Workspace) -> None:
    with _session(target) as client:
        _commit_base(client, workspace)
        with _mounted(client.prepare("child", "base"), workspace, "child") as root:
            (root / "file").write_bytes(b"changed")
            (root / "removed").unlink()
        client.commit("top", "child")
        with _mounted(client.view("look", "top"), workspace, "look") as root:
            _require((root / "file").read_bytes() == b"changed", "a change is lost")
            _require(not (root / "removed").exists(), "a removed file came back")


Probe = Callable[[SnapshotterTarget, Workspace], None]

# The claim, whether it takes root, and how it is tried. All are essential.
CLAIMS: Final[Sequence[tuple[str, bool, Probe]]] = (
    ("keeps the rules of the contract", False, _keeps_the_rules),
    ("remembers snapshots", False, _remembers),
    ("shows a child its parent", True, _child_shows_parent),
    ("never changes parents", True, _never_changes_parents),
    ("keeps children apart", True, _keeps_children_apart),
    ("keeps what is committed", True, _keeps_what_is_committed),
)
