"""One process owns a root; the others learn who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs.state import LockHolder, RootLock

HOLD = """
import sys
from snapfs.state import RootLock
lock = RootLock.try_acquire(sys.argv[1])
print("held" if isinstance(lock, RootLock) else "refused", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_learns_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with holder(path) as process:
        found = RootLock.try_acquire(str(path))

        assert isinstance(found, LockHolder)
        assert found.pid == process.pid
        assert "RootLock" in found.command
        assert "\n" not in str(found)  # though its program is several lines
        assert f"process {process.pid}" in str(found)


def test_the_lock_is_released_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()

    lock = RootLock.try_acquire(str(path))

    assert isinstance(lock, RootLock)
    lock.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first = RootLock.try_acquire(path)
    assert isinstance(first, RootLock)

    assert isinstance(RootLock.try_acquire(path), LockHolder)
    first.release()
    first.release()
    second = RootLock.try_acquire(path)

    assert isinstance(second, RootLock)
    second.release()


def test_the_lock_file_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = RootLock.try_acquire(str(path))
    assert isinstance(lock, RootLock)

    lock.release()

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_shorter_process_id_hides_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"4194304000\n")
    lock = RootLock.try_acquire(str(path))
    assert isinstance(lock, RootLock)

    found = RootLock.try_acquire(str(path))

    assert isinstance(found, LockHolder)
    assert found.pid == os.getpid()
    lock.release()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe"])
def test_a_holder_that_does_not_say_who_it_is_is_another_process(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "lock"
    lock = RootLock.try_acquire(str(path))
    assert isinstance(lock, RootLock)
    path.write_bytes(content)

    found = RootLock.try_acquire(str(path))

    assert str(found) == "another process"
    lock.release()


def test_a_link_in_the_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic link"):
        RootLock.try_acquire(str(tmp_path / "lock"))

    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_does_not_keep_the_lock_from_being_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_fd: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", no_space)

    lock = RootLock.try_acquire(str(tmp_path / "lock"))

    assert isinstance(lock, RootLock)
    lock.release()
