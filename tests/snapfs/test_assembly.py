"""Opening a store: who owns the root, and what is refused."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import snapfs
from snapfs.assembly import StoreSettings, open_store
from snapfs.assembly.opening import own_store
from snapfs.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    SnapfsError,
    UnavailableError,
)
from snapfs.model import Durability
from snapfs.state import LockHolder, RootLock

NOBODY: Final = 65534
WAIT_S: Final = 60.0  # for others to finish; far above what it takes

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="stores here keep trusted.* marks"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_store_is_made_used_and_given_up(root: Path) -> None:
    with snapfs.open_store(root) as store:
        store.prepare("a", labels={"l": "1"})
        assert store.status().pid == os.getpid()
        assert store.status().durability is Durability.LAYER

    with snapfs.open_store(str(root), driver="kernel") as store:
        assert store.stat("a").labels == {"l": "1"}
        assert store.check() == []


def test_what_was_removed_is_reclaimed_when_the_store_is_closed(root: Path) -> None:
    with open_store(root) as store:
        store.prepare("a")
        store.remove("a")

    assert os.listdir(root / "trash") == os.listdir(root / "snapshots") == []


def test_the_root_is_private(root: Path) -> None:
    with open_store(root):
        assert root.stat().st_mode & 0o777 == 0o700


def test_a_root_that_is_a_file_is_refused(root: Path) -> None:
    root.write_text("a file")

    with pytest.raises(InvalidArgumentError, match="not a directory"):
        open_store(root)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        pytest.param(StoreSettings(driver="zfs"), InvalidArgumentError, id="driver"),
        pytest.param(
            StoreSettings(mount_options=("no-such-option",)),
            InvalidArgumentError,
            id="option",
        ),
        pytest.param(
            StoreSettings(driver="kernel", max_size=1 << 30),
            FailedPreconditionError,
            id="no quotas",
            marks=pytest.mark.root,
        ),
    ],
)
def test_a_setting_that_cannot_be_used_makes_no_store(
    root: Path, settings: StoreSettings, error: type[SnapfsError]
) -> None:
    with pytest.raises(error):
        open_store(root, settings)

    assert not root.exists()
    with open_store(root) as store:
        assert store.check() == []


def test_a_damaged_store_is_refused_and_left_to_others(root: Path) -> None:
    with open_store(root):
        pass
    (root / "store.json").write_text("{")

    for _ in range(2):  # the second time the lock must be free again
        with pytest.raises(DataLossError, match="damaged"):
            open_store(root, wait_s=0)


def test_a_root_that_stays_in_use_is_refused_with_its_holder(root: Path) -> None:
    with open_store(root):
        with pytest.raises(UnavailableError, match=f"process {os.getpid()}"):
            open_store(root, wait_s=0)
        with pytest.raises(FailedPreconditionError, match=f"process {os.getpid()}"):
            own_store(root, StoreSettings(), wait_s=0)


def test_a_root_in_use_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(root) as store:
        store.prepare("a")
    try_acquire = RootLock.try_acquire
    with owned_by_another(root) as release:

        def refused_once(path: str) -> RootLock | LockHolder:
            result = try_acquire(path)
            if isinstance(result, LockHolder):
                os.write(release, b"go")
            return result

        monkeypatch.setattr(RootLock, "try_acquire", refused_once)

        with open_store(root, wait_s=WAIT_S) as store:
            assert store.stat("a").name == "a"


@contextlib.contextmanager
def owned_by_another(root: Path) -> Iterator[int]:
    """Have another process own ``root`` until it reads a byte."""
    go_reader, go_writer = os.pipe()
    ready_reader, ready_writer = os.pipe()
    child = os.fork()
    if child == 0:
        lock = RootLock.try_acquire(str(root / "lock"))
        os.write(ready_writer, b"!" if isinstance(lock, RootLock) else b"?")
        os.read(go_reader, 1)
        os._exit(0)
    try:
        assert os.read(ready_reader, 1) == b"!"
        yield go_writer
    finally:
        for descriptor in (go_reader, go_writer, ready_reader, ready_writer):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_a_socket_that_nobody_serves_is_no_owner(root: Path) -> None:
    root.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(root / "snapfs.sock"))

    with open_store(root) as store:
        assert store.status().pid == os.getpid()


def test_a_lock_is_not_inherited_by_workers(root: Path) -> None:
    with open_store(root) as store:
        store.prepare("a")
        store.usage("a")  # starts a worker

        store.close()
        with (root / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


COMMANDS: Final = """
import sys
import snapfs
from snapfs.errors import NotFoundError

root, number = sys.argv[1:]
for turn in range(3):
    with snapfs.open_store(root, wait_s=60) as store:
        key = f"{number}-{turn}"
        store.prepare(f"making-{key}")
        store.commit(key, f"making-{key}")
        store.prepare(f"box-{key}", key)
    with snapfs.open_store(root, wait_s=60) as store:
        store.remove(f"box-{key}")
print("done")
"""


@pytest.mark.slow
def test_many_processes_at_once_succeed_one_after_another(root: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", COMMANDS, str(root), str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    try:
        outputs = [command.communicate() for command in commands]
    finally:
        for command in commands:
            command.kill()
            command.wait()

    assert [error for _output, error in outputs] == [""] * 8
    assert [output for output, _error in outputs] == ["done\n"] * 8
    with open_store(root) as store:
        assert store.check() == []
        names = sorted(info.name for info in store.walk())
        assert names == [f"{number}-{turn}" for number in range(8) for turn in range(3)]


# -- without privileges ---------------------------------------------------------------


def as_nobody(action: Callable[[], object]) -> str:
    """Run ``action`` in a child without privileges; return what it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            action()
            said = "nothing"
        except Exception as error:  # noqa: BLE001 - told to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as report:
        said = report.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody can enter."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def test_a_store_of_another_user_is_a_matter_of_permission(public: Path) -> None:
    root = public / "store"
    with open_store(root) as store:
        store.prepare("a")

    said = as_nobody(lambda: open_store(root))

    assert said.startswith(PermissionDeniedError.__name__)
    assert str(root) in said
    with open_store(root) as store:
        assert store.check() == []


def test_a_directory_that_cannot_be_made_is_a_matter_of_permission(
    public: Path,
) -> None:
    said = as_nobody(lambda: open_store(public / "store"))

    assert said.startswith(PermissionDeniedError.__name__)
    assert not (public / "store").exists()


def test_a_readable_root_that_cannot_be_written_is_a_matter_of_permission(
    public: Path,
) -> None:
    root = public / "store"
    with open_store(root):
        pass
    for path in (root, *root.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)

    said = as_nobody(lambda: open_store(root))

    assert said.startswith(PermissionDeniedError.__name__)


def test_a_store_with_trusted_marks_is_refused_without_privileges(
    public: Path,
) -> None:
    root = public / "store"
    with open_store(root):
        pass
    identity = json.loads((root / "store.json").read_text())
    assert identity["xattr_prefix"] == "trusted."
    for path in (root, *root.iterdir()):
        os.chown(path, NOBODY, NOBODY)

    said = as_nobody(lambda: open_store(root))

    assert said.startswith(FailedPreconditionError.__name__)
    assert "trusted" in said


def test_an_owner_that_never_answers_does_not_hang_a_command(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapfs.assembly.opening._ANSWER_S", 0.2)
    with open_store(root):
        pass
    lock = RootLock.try_acquire(str(root / "lock"))
    assert isinstance(lock, RootLock)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(root / "snapfs.sock"))
        silent.listen(8)
        try:
            with pytest.raises(UnavailableError, match=str(os.getpid())):
                open_store(root, wait_s=0.1)
        finally:
            lock.release()


def test_a_second_close_waits_for_the_first(root: Path) -> None:
    store = own_store(root, StoreSettings())
    is_free: list[bool] = []

    def close() -> None:
        store.close()
        again = RootLock.try_acquire(str(root / "lock"))
        is_free.append(isinstance(again, RootLock))
        if isinstance(again, RootLock):
            again.release()

    with store._gate.open():  # a verb is at work: the first close waits
        closers = [threading.Thread(target=close) for _ in range(2)]
        for closer in closers:
            closer.start()
        while not store._gate.is_shut:
            os.sched_yield()
        assert isinstance(RootLock.try_acquire(str(root / "lock")), LockHolder)
    for closer in closers:
        closer.join()

    assert True in is_free
