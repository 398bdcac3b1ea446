"""Requests that cannot be met, by every way to a store: each says why, none changes it.

The four ways: the library and the command on a store that nobody serves, our client
on containerd's socket, and the command while a service owns the root.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from snapfs import open_store
from snapfs.api.codes import Code
from snapfs.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
)
from snapfs.model import Info
from snapfs.remote import RemoteSnapshotter
from snapfs.snapshotter import Snapshotter
from support.command import Command, serving
from support.mistakes import assert_line, assert_refused, content_of, status_code

pytestmark = pytest.mark.root

LONG: Final = "v" * 4096

STATUSES: Final = {
    InvalidArgumentError: Code.INVALID_ARGUMENT,
    NotFoundError: Code.NOT_FOUND,
    AlreadyExistsError: Code.ALREADY_EXISTS,
    FailedPreconditionError: Code.FAILED_PRECONDITION,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Mistake:
    """One request on a store with base (committed), top (active on it), look (view).

    Attributes:
        names: What the message must say.
        call: The request to a snapshotter; None where only a command can make it.
        words: The same on the command line.
    """

    error: type[SnapfsError]
    names: tuple[str, ...]
    call: Callable[[Snapshotter], object]
    words: tuple[str, ...]


MISTAKES: Final = {
    "stat of an unknown key": Mistake(
        NotFoundError, ("'none'",), lambda s: s.stat("none"), ("info", "none")
    ),
    "mounts of an unknown key": Mistake(
        NotFoundError, ("'none'",), lambda s: s.mounts("none"), ("mounts", "none")
    ),
    "usage of an unknown key": Mistake(
        NotFoundError, ("'none'",), lambda s: s.usage("none"), ("usage", "none")
    ),
    "removing an unknown key": Mistake(
        NotFoundError, ("'none'",), lambda s: s.remove("none"), ("rm", "none")
    ),
    "committing an unknown key": Mistake(
        NotFoundError,
        ("'none'",),
        lambda s: s.commit("new", "none"),
        ("commit", "new", "none"),
    ),
    "labels for an unknown key": Mistake(
        NotFoundError,
        ("'none'",),
        lambda s: s.update(Info("none", labels={"a": "b"}), ["labels.a"]),
        ("label", "none", "a=b"),
    ),
    "an unknown parent": Mistake(
        NotFoundError,
        ("parent", "'none'"),
        lambda s: s.prepare("new", "none"),
        ("prepare", "new", "none"),
    ),
    "a view of an unknown parent": Mistake(
        NotFoundError,
        ("parent", "'none'"),
        lambda s: s.view("new", "none"),
        ("view", "new", "none"),
    ),
    "a key that is taken": Mistake(
        AlreadyExistsError, ("'top'",), lambda s: s.prepare("top"), ("prepare", "top")
    ),
    "a view with a key that is taken": Mistake(
        AlreadyExistsError, ("'base'",), lambda s: s.view("base"), ("view", "base")
    ),
    "a name that is taken": Mistake(
        AlreadyExistsError,
        ("'base'",),
        lambda s: s.commit("base", "top"),
        ("commit", "base", "top"),
    ),
    "an active parent": Mistake(
        InvalidArgumentError,
        ("'top'", "active", "committed"),
        lambda s: s.prepare("new", "top"),
        ("prepare", "new", "top"),
    ),
    "a view as the parent": Mistake(
        InvalidArgumentError,
        ("'look'", "view", "committed"),
        lambda s: s.view("new", "look"),
        ("view", "new", "look"),
    ),
    "removing a parent": Mistake(
        FailedPreconditionError,
        ("cannot remove", "'base'", "parent"),
        lambda s: s.remove("base"),
        ("rm", "base"),
    ),
    "committing a view": Mistake(
        FailedPreconditionError,
        ("'look'", "view", "only active"),
        lambda s: s.commit("new", "look"),
        ("commit", "new", "look"),
    ),
    "mounts of a committed snapshot": Mistake(
        FailedPreconditionError,
        ("'base'", "committed", "prepare or view"),
        lambda s: s.mounts("base"),
        ("mounts", "base"),
    ),
    "a filter that does not parse": Mistake(
        InvalidArgumentError,
        ("'kind=active'", "character 5", "no operator"),
        lambda s: list(s.walk(["kind==active", "kind=active"])),
        ("ls", "-f", "kind==active", "-f", "kind=active"),
    ),
    "a label that is too long": Mistake(
        InvalidArgumentError,
        ("'a'", "4097 bytes", "4096"),
        lambda s: s.prepare("new", labels={"a": LONG}),
        ("prepare", "new", "-l", f"a={LONG}"),
    ),
    "a commit with a label that is too long": Mistake(
        InvalidArgumentError,
        ("'a'", "4097 bytes", "4096"),
        lambda s: s.commit("new", "top", {"a": LONG}),
        ("commit", "new", "top", "-l", f"a={LONG}"),
    ),
    "an update with a label that is too long": Mistake(
        InvalidArgumentError,
        ("'a'", "4097 bytes", "4096"),
        lambda s: s.update(Info("top", labels={"a": LONG}), ["labels.a"]),
        ("label", "top", f"a={LONG}"),
    ),
    "an empty key": Mistake(
        InvalidArgumentError, ("key",), lambda s: s.prepare(""), ("prepare", "")
    ),
    "an empty name": Mistake(
        InvalidArgumentError,
        ("name",),
        lambda s: s.commit("", "top"),
        ("commit", "", "top"),
    ),
}

each_mistake = pytest.mark.parametrize(
    "mistake", [pytest.param(case, id=name) for name, case in MISTAKES.items()]
)


def fill(snapshots: Snapshotter) -> None:
    snapshots.prepare("making")
    snapshots.commit("base", "making", {"made": "here"})
    snapshots.prepare("top", "base")
    snapshots.view("look", "base")


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One way to call a snapshotter, and the root of its store."""

    snapshots: Snapshotter
    root: Path


@pytest.fixture(scope="module", params=["library", "containerd's socket"])
def way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Way]:
    # One store for all: each of them must leave it as it was.
    root = tmp_path_factory.mktemp("bad") / "root"
    with ExitStack() as stack:
        if request.param == "library":
            store: Snapshotter = stack.enter_context(open_store(root))
        else:
            stack.enter_context(serving(Command(root)))
            store = stack.enter_context(RemoteSnapshotter(f"{root.parent}/c.sock"))
        fill(store)
        yield Way(store, root)
    with open_store(root) as store:
        assert store.check() == []


@pytest.fixture(scope="module", params=["nobody serves", "served"])
def command(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Command]:
    command = Command(tmp_path_factory.mktemp("bad") / "root")
    with open_store(command.root) as store:
        fill(store)
    with ExitStack() as stack:
        if request.param == "served":
            stack.enter_context(serving(command))
        yield command
        assert json.loads(command.ok("--json", "top"))["store"]["snapshots"] == 3
        assert command.ok("check") == ""


@each_mistake
def test_a_call_is_refused_and_changes_nothing(way: Way, mistake: Mistake) -> None:
    before = (list(way.snapshots.walk()), content_of(way.root / "snapshots"))

    with pytest.raises(mistake.error) as caught:
        mistake.call(way.snapshots)

    assert type(caught.value) is mistake.error
    assert status_code(caught.value) is STATUSES[mistake.error]
    assert_line(str(caught.value), *mistake.names)
    after = (list(way.snapshots.walk()), content_of(way.root / "snapshots"))
    assert after == before


@each_mistake
def test_a_command_is_refused_and_changes_nothing(
    command: Command, mistake: Mistake
) -> None:
    before = content_of(command.root / "snapshots")

    done = command(*mistake.words)

    assert_refused(done, mistake.error, *mistake.names)
    assert content_of(command.root / "snapshots") == before


def test_snapshots_of_commands_do_not_exist_for_containerd(tmp_path: Path) -> None:
    command = Command(tmp_path / "root")
    with open_store(command.root) as store:
        fill(store)

    with (
        serving(command),
        RemoteSnapshotter(f"{tmp_path}/c.sock") as snapshots,
    ):
        for call in (
            lambda: snapshots.stat("base"),
            lambda: snapshots.mounts("top"),
            lambda: snapshots.usage("base"),
            lambda: snapshots.remove("look"),
            lambda: snapshots.commit("new", "top"),
            lambda: snapshots.prepare("new", "base"),
            lambda: snapshots.update(Info("base")),
        ):
            with pytest.raises(NotFoundError):
                call()
        with pytest.raises(AlreadyExistsError, match="'base'"):
            snapshots.prepare("base")
        assert list(snapshots.walk()) == []
        assert len(command.ok("ls", "--json").splitlines()) == 3


def test_snapshots_of_containerd_are_not_the_commands_to_remove(
    tmp_path: Path,
) -> None:
    command = Command(tmp_path / "root")
    with (
        serving(command),
        RemoteSnapshotter(f"{tmp_path}/c.sock") as snapshots,
    ):
        snapshots.prepare("box")

        removing = command("rm", "box")
        committing = command("commit", "new", "box")

        assert_refused(removing, FailedPreconditionError, "'box'", "ctr snapshots rm")
        assert_refused(committing, FailedPreconditionError, "'box'", "ctr snapshots")
        assert snapshots.stat("box").name == "box"
        command.ok("rm", "--force", "box")
        assert list(snapshots.walk()) == []
