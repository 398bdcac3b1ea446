"""How a session ends: by a signal, by an unmount, by being handed over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs import mountinfo, syscalls
from snapfs.fuse.session import Session, mount
from snapfs.fuse.wire import Negotiated, Opcode
from support.fuse_memory import WISHES, MemoryFilesystem, served
from support.refusals import refused
from support.sandbox import REPOSITORY, WAIT_TIMEOUT_S, wait_until

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@contextmanager
def server(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the memory filesystem in a process; unmount and end it whatever happens."""
    target.mkdir()
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", "support.fuse_server", target],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert said(process) == "ready"
            yield process
        finally:
            if mountinfo.find(str(target)):
                syscalls.umount2(target, syscalls.MNT_DETACH)
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    with server(tmp_path / "mnt") as process:
        content = (tmp_path / "mnt" / "a").read_bytes()
        process.send_signal(number)
        status = process.wait(WAIT_TIMEOUT_S)
        last_word = said(process)

    assert content == b"contents"
    assert (status, last_word) == (0, "ended")
    assert mountinfo.find(str(tmp_path / "mnt")) is None


def test_a_signal_ends_a_session_whose_mount_is_in_use(tmp_path: Path) -> None:
    with server(tmp_path / "mnt") as process:
        file = os.open(tmp_path / "mnt" / "a", os.O_RDONLY)
        process.terminate()
        status = process.wait(WAIT_TIMEOUT_S)
        with refused(errno.ENOTCONN):
            os.read(file, 100)
        with refused(errno.ENOTCONN):  # its FLUSH; the descriptor is closed
            os.close(file)

    assert status == 0
    assert mountinfo.find(str(tmp_path / "mnt")) is None


def test_a_signal_lets_what_has_begun_be_answered(tmp_path: Path) -> None:
    with server(tmp_path / "mnt") as process, ThreadPoolExecutor(1) as clients:
        # From here on a close(2) asks nothing, also when nobody answers any more.
        (tmp_path / "mnt" / "a").read_bytes()
        reading = clients.submit((tmp_path / "mnt" / "slow").read_bytes)
        assert said(process) == "waiting"
        process.terminate()
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        content = reading.result(WAIT_TIMEOUT_S)
        status = process.wait(WAIT_TIMEOUT_S)

    assert content == b"at last"
    assert status == 0


def test_an_unmount_from_outside_ends_the_session(tmp_path: Path) -> None:
    with server(tmp_path / "mnt") as process:
        os.stat(tmp_path / "mnt" / "a")
        syscalls.umount2(tmp_path / "mnt")
        status = process.wait(WAIT_TIMEOUT_S)
        last_word = said(process)

    assert (status, last_word) == (0, "ended")


def test_a_killed_server_leaves_a_mount_that_answers_at_once(tmp_path: Path) -> None:
    with server(tmp_path / "mnt") as process:
        process.kill()
        process.wait(WAIT_TIMEOUT_S)
        with refused(errno.ENOTCONN):
            os.listdir(tmp_path / "mnt")


def test_an_abort_ends_the_session(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    with server(tmp_path / "mnt") as process:
        entry = mountinfo.find(str(tmp_path / "mnt"))
        assert entry is not None
        syscalls.mount("fusectl", control, "fusectl")
        try:
            minor = entry.device.partition(":")[2]
            (control / minor / "abort").write_text("1")
        finally:
            syscalls.umount2(control)
        status = process.wait(WAIT_TIMEOUT_S)

    assert status == 0


def test_another_session_takes_over_and_answers_what_was_left(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"contents"})
    filesystem.handlers[Opcode.READ] = lambda _request: None  # dies before it answers
    heir = MemoryFilesystem({b"a": b"contents"})
    (tmp_path / "mnt").mkdir()
    connection = mount(os.fsencode(tmp_path / "mnt"))
    first = Session(connection, filesystem.handlers, wishes=WISHES, unmounts=False)
    running = threading.Thread(target=first.run)
    running.start()
    with ThreadPoolExecutor(2) as clients:
        try:
            reading = clients.submit((tmp_path / "mnt" / "a").read_bytes)
            wait_until(lambda: first.statistics.requests[Opcode.READ], "the read")
            first.stop()
            # One more request, which wakes a loop that no signal can.
            clients.submit(os.path.exists, tmp_path / "mnt" / "x").result(60)
            running.join()
            assert first.negotiated is not None
            state = Negotiated.from_bytes(first.negotiated.to_bytes())
            second = Session(connection, heir.handlers, negotiated=state)
            running = threading.Thread(target=second.run)
            running.start()
            was_resent = second.notifier.resend()
            content = reading.result(WAIT_TIMEOUT_S)
        finally:
            connection.unmount()
            running.join()
            connection.close()

    assert was_resent
    assert content == b"contents"
    assert second.statistics.requests[Opcode.INIT] == 0


def test_a_session_stops_once_and_can_leave_the_mount(tmp_path: Path) -> None:
    with server(tmp_path / "mnt"):
        pass
    filesystem = MemoryFilesystem({b"a": b""})

    with served(filesystem, tmp_path / "mnt") as session:
        session._unmounts = False
        session.stop()
        session.stop()
        os.stat(tmp_path / "mnt" / "a")
        is_mounted = session.connection.is_mounted()

    assert is_mounted
