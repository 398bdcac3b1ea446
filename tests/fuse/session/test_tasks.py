"""Work on worker threads: what waits for what, and what does not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from snapfs.fuse.session import Later, Reply, Request, Session, Task
from snapfs.fuse.session import pool as pool_module
from snapfs.fuse.session.pool import WorkerPool
from snapfs.fuse.wire import InitFlag, Opcode
from support.fuse_memory import WISHES, MemoryFilesystem, served
from support.refusals import refused
from support.sandbox import WAIT_TIMEOUT_S, wait_until

pytestmark = [pytest.mark.root, pytest.mark.fuse]


def test_metadata_does_not_wait_for_a_task(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"slow": b"data", b"b": b""})
    may_read = filesystem.gate()

    def read(request: Request) -> Reply:
        kept = request.keep()

        def wait_and_read() -> Reply:
            may_read.wait()
            return filesystem.read(kept)

        return Later(wait_and_read, request.nodeid)

    filesystem.handlers[Opcode.READ] = read
    with (
        served(filesystem, tmp_path / "mnt") as session,
        ThreadPoolExecutor(1) as clients,
    ):
        reading = clients.submit((tmp_path / "mnt" / "slow").read_bytes)
        wait_until(lambda: session.pending(2), "the read")
        size = os.stat(tmp_path / "mnt" / "slow").st_size
        os.unlink(tmp_path / "mnt" / "b")
        is_still_reading = not reading.done()
        may_read.set()
        content = reading.result()

    assert (size, is_still_reading) == (4, True)
    assert content == b"data"
    assert not session.pending(2)


def test_a_request_that_changes_a_busy_node_waits_for_its_tasks(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"data", b"b": b""})
    may_read = filesystem.gate()
    order: list[str] = []

    def read(request: Request) -> Reply:
        kept = request.keep()

        def wait_and_read() -> Reply:
            may_read.wait()
            order.append("read")
            return filesystem.read(kept)

        return Later(wait_and_read, request.nodeid)

    def set_attributes(request: Request) -> Reply:
        order.append(f"set {request.nodeid}")
        return filesystem.set_attributes(request)

    filesystem.handlers[Opcode.READ] = read
    filesystem.handlers[Opcode.SETATTR] = set_attributes
    mnt = tmp_path / "mnt"
    with served(filesystem, mnt) as session, ThreadPoolExecutor(2) as clients:
        reading = clients.submit((mnt / "a").read_bytes)
        wait_until(lambda: session.pending(2), "the read")
        changing = clients.submit(os.chmod, mnt / "a", 0o600)
        wait_until(lambda: session.statistics.requests[Opcode.SETATTR], "the chmod")
        os.chmod(mnt / "b", 0o600)
        may_read.set()
        changing.result()
        content = reading.result()

    assert order == ["set 3", "read", "set 2"]
    assert content == b"data"


def test_a_deferred_request_may_itself_become_a_task(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"data"})
    may_read = filesystem.gate()
    threads: list[str] = []

    def read(request: Request) -> Reply:
        kept = request.keep()

        def wait_and_read() -> Reply:
            may_read.wait()
            return filesystem.read(kept)

        return Later(wait_and_read, request.nodeid)

    def set_attributes(request: Request) -> Reply:
        kept = request.keep()

        def change() -> Reply:
            threads.append(threading.current_thread().name)
            return filesystem.set_attributes(kept)

        return Later(change, request.nodeid)

    filesystem.handlers[Opcode.READ] = read
    filesystem.handlers[Opcode.SETATTR] = set_attributes
    mnt = tmp_path / "mnt"
    with served(filesystem, mnt) as session, ThreadPoolExecutor(2) as clients:
        reading = clients.submit((mnt / "a").read_bytes)
        wait_until(lambda: session.pending(2), "the read")
        changing = clients.submit(os.truncate, mnt / "a", 2)
        wait_until(lambda: session.statistics.requests[Opcode.SETATTR], "the truncate")
        may_read.set()
        changing.result()
        reading.result()

    assert bytes(filesystem.data[0]) == b"da"
    assert threads == ["snapfs-worker"]


def test_large_requests_keep_their_data_side_by_side(tmp_path: Path) -> None:
    names = [b"%d" % number for number in range(3)]
    filesystem = MemoryFilesystem(dict.fromkeys(names, b""))
    may_write = filesystem.gate()

    def write(request: Request) -> Reply:
        kept = request.keep()

        def wait_and_write() -> Reply:
            may_write.wait()
            with session.lock:
                return filesystem.write(kept)

        return Later(wait_and_write, request.nodeid)

    filesystem.handlers[Opcode.WRITE] = write
    mnt = tmp_path / "mnt"
    contents = [bytes([65 + number]) * (1 << 20) for number in range(3)]
    with served(filesystem, mnt) as session, ThreadPoolExecutor(3) as clients:
        writing = [
            clients.submit((mnt / os.fsdecode(name)).write_bytes, content)
            for name, content in zip(names, contents, strict=True)
        ]
        for nodeid in (2, 3, 4):
            wait_until(lambda key=nodeid: session.pending(key), "every write")  # type: ignore[misc]  # a lambda's default has no type
        os.stat(mnt)
        may_write.set()
        for done in writing:
            done.result()

    assert [bytes(data) for data in filesystem.data] == contents


def test_a_request_can_be_kept_twice(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})
    bodies: list[bytes] = []

    def write(request: Request) -> Reply:
        first, second = request.keep(), request.keep()
        bodies.extend([bytes(first.body), bytes(second.body), bytes(request.body)])
        return filesystem.write(request)

    filesystem.handlers[Opcode.WRITE] = write
    with served(filesystem, tmp_path / "mnt"):
        (tmp_path / "mnt" / "a").write_bytes(b"x" * 100_000)

    assert len(bodies[0]) == 100_040
    assert bodies[0] == bodies[1] == bodies[2]


def test_what_a_task_raises_is_answered(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})

    def full() -> Reply:
        raise OSError(errno.ENOSPC, "full")

    def slip() -> Reply:
        raise KeyError("a slip")

    def set_attributes(request: Request) -> Reply:
        return Later(full if request.nodeid == 2 else slip, request.nodeid)

    filesystem.handlers[Opcode.SETATTR] = set_attributes
    with served(filesystem, tmp_path / "mnt") as session:
        with refused(errno.ENOSPC):
            os.chmod(tmp_path / "mnt" / "a", 0)
        with refused(errno.EIO):
            os.chmod(tmp_path / "mnt" / "b", 0)
        errors = session.statistics.errors

    assert errors >= 2


def test_calls_after_the_reply_run_in_order_and_without_the_lock(
    tmp_path: Path,
) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    calls: list[str] = []
    session: Session

    def note(word: str) -> Callable[[], None]:
        def call() -> None:
            with session.lock:
                calls.append(word)

        return call

    def unlink(request: Request) -> Reply:
        session.after_reply(note("first"))
        session.after_reply(note("second"))
        return filesystem.unlink(request)

    def set_attributes(request: Request) -> Reply:
        kept = request.keep()
        session.after_reply(note("third"))

        def run() -> Reply:
            session.after_reply(note("fourth"))
            return filesystem.set_attributes(kept)

        return Later(run, request.nodeid)

    filesystem.handlers[Opcode.UNLINK] = unlink
    filesystem.handlers[Opcode.SETATTR] = set_attributes
    with served(filesystem, tmp_path / "mnt") as session:
        os.unlink(tmp_path / "mnt" / "a")
        os.chmod(tmp_path / "mnt" / "b", 0o600)
        wait_until(lambda: len(calls) == 4, "the calls")

    assert calls == ["first", "second", "third", "fourth"]


CHMOD = """
import os, signal, sys
signal.signal(signal.SIGALRM, lambda *_: None)
print("ready", flush=True)
os.chmod(sys.argv[1], 0o600)
"""


@pytest.fixture
def slow_chmod(tmp_path: Path) -> MemoryFilesystem:
    """A filesystem whose chmods all wait in one queue; the first holds it."""
    filesystem = MemoryFilesystem({b"a": b"", b"b": b""})
    gate = filesystem.gate()

    def set_attributes(request: Request) -> Reply:
        kept = request.keep()

        def run() -> Reply:
            gate.wait()
            filesystem.looked_up.append(b"ran for %d" % kept.nodeid)
            return filesystem.set_attributes(kept)

        return Later(run, 1)

    filesystem.handlers[Opcode.SETATTR] = set_attributes
    return filesystem


def spawn_chmod(path: Path) -> subprocess.Popen[bytes]:
    client = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", CHMOD, path], stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    return client


def arrived(session: Session, count: int) -> None:
    requests = session.statistics.requests
    wait_until(lambda: requests[Opcode.SETATTR] == count, f"{count} chmods")


def test_killing_a_caller_takes_its_queued_task_back(
    tmp_path: Path, slow_chmod: MemoryFilesystem
) -> None:
    with served(slow_chmod, tmp_path / "mnt") as session:
        first = spawn_chmod(tmp_path / "mnt" / "a")
        arrived(session, 1)
        second = spawn_chmod(tmp_path / "mnt" / "b")
        arrived(session, 2)
        second.send_signal(signal.SIGTERM)
        status = second.wait(WAIT_TIMEOUT_S)  # while the first still runs
        is_first_running = first.poll() is None
        slow_chmod.open_gates()
        first.wait(WAIT_TIMEOUT_S)
    for client in (first, second):
        assert client.stdout is not None
        client.stdout.close()

    assert status == -signal.SIGTERM
    assert is_first_running
    assert first.returncode == 0
    assert b"ran for 3" not in slow_chmod.looked_up


def test_a_signal_that_the_caller_handles_interrupts_nothing(
    tmp_path: Path, slow_chmod: MemoryFilesystem
) -> None:
    with served(slow_chmod, tmp_path / "mnt") as session:
        first = spawn_chmod(tmp_path / "mnt" / "a")
        arrived(session, 1)
        second = spawn_chmod(tmp_path / "mnt" / "b")
        arrived(session, 2)
        for client in (first, second):
            client.send_signal(signal.SIGALRM)
        interrupts = session.statistics.requests
        wait_until(lambda: interrupts[Opcode.INTERRUPT] == 2, "both INTERRUPTs")
        slow_chmod.open_gates()
        statuses = [client.wait(WAIT_TIMEOUT_S) for client in (first, second)]
    for client in (first, second):
        assert client.stdout is not None
        client.stdout.close()

    assert statuses == [0, 0]


def test_a_running_task_sees_that_its_caller_is_killed(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})
    tasks: list[Task | None] = []

    def set_attributes(request: Request) -> Reply:
        def copy() -> Reply:
            tasks.append(session.current_task())
            wait_until(session.is_interrupted, "the signal")
            return -errno.EINTR

        return Later(copy, request.nodeid)

    filesystem.handlers[Opcode.SETATTR] = set_attributes
    with served(filesystem, tmp_path / "mnt") as session:
        client = spawn_chmod(tmp_path / "mnt" / "a")
        wait_until(lambda: tasks, "the task")
        client.kill()
        status = client.wait(WAIT_TIMEOUT_S)
        assert client.stdout is not None
        client.stdout.close()
        is_main_interrupted = session.is_interrupted()

    assert status == -signal.SIGKILL
    assert isinstance(tasks[0], Task)
    assert not is_main_interrupted


def test_threads_end_when_there_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_IDLE_S", 0.01)
    idle = threading.Event()
    done: list[int] = []
    pool = WorkerPool(done.append, limit=3, name="ends", on_idle=idle.set)

    for number in range(100):
        pool.submit(number % 7, number)
    wait_until(idle.is_set, "the last thread")
    pool.submit(0, 100)
    pool.drain()

    assert sorted(done) == list(range(101))
    assert [number for number in done if number % 7 == 3] == list(range(3, 100, 7))
    assert all(thread.name != "ends" for thread in threading.enumerate())


def test_a_task_may_wait_for_one_of_another_key() -> None:
    other_ran = threading.Event()

    def execute(task: Callable[[], object]) -> None:
        task()

    pool = WorkerPool(execute, limit=2, name="waits")

    pool.submit(1, lambda: other_ran.wait(WAIT_TIMEOUT_S))
    pool.submit(2, other_ran.set)
    pool.drain()

    assert other_ran.is_set()


def test_a_fresh_session_has_no_threads_of_its_own(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"data"})
    before = threading.active_count()

    with served(filesystem, tmp_path / "mnt", wishes=WISHES) as session:
        (tmp_path / "mnt" / "a").read_bytes()
        served_by = threading.active_count()
        assert session.negotiated is not None
        is_plain = session.negotiated.has(InitFlag.NO_OPEN_SUPPORT)

    assert is_plain
    assert served_by == before + 1
