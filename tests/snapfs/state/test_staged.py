"""A staged directory is its maker's, whoever looks at it meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.state import StatePaths
from snapfs.state.staged import StagedDirectory, unless_in_use


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    (tmp_path / "staging").mkdir()
    (tmp_path / "trash").mkdir()
    return StatePaths(str(tmp_path))


@contextlib.contextmanager
def looking(paths: StatePaths, *, takes: bool) -> Iterator[None]:
    """Do what a reclaimer does to all that is staged, over and over."""
    is_over = threading.Event()

    def look() -> None:
        taken = 0
        while not is_over.is_set():
            for name in os.listdir(paths.staging):
                path = os.path.join(paths.staging, name)
                with unless_in_use(path) as is_idle:
                    if is_idle and takes:
                        taken += 1
                        with contextlib.suppress(FileNotFoundError):
                            os.rename(path, f"{paths.trash}/{name}.{taken}")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("takes", [False, True], ids=["looks", "takes"])
def test_a_directory_can_be_staged_while_a_reclaimer_is_at_work(
    paths: StatePaths, *, takes: bool
) -> None:
    with looking(paths, takes=takes):
        for number in range(1, 21):
            staged = StagedDirectory.create(paths, number)

            assert os.path.samestat(
                os.fstat(staged.descriptor), os.lstat(f"{paths.staging}/{number}")
            )
            os.rmdir(f"{paths.staging}/{number}")
            staged.release()


def test_a_look_at_the_wrong_moment_is_waited_for(
    paths: StatePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks what is garbage holds each staged directory for a moment."""
    make, lock = os.mkdir, fcntl.flock
    looks: list[int] = []

    def made_and_looked_at(path: str, mode: int) -> None:
        make(path, mode)
        looks.append(os.open(path, os.O_RDONLY))
        lock(looks[0], fcntl.LOCK_EX)

    def look_ends_for_who_waits(descriptor: int, operation: int) -> None:
        if not operation & fcntl.LOCK_NB:
            os.close(looks.pop())
        lock(descriptor, operation)

    monkeypatch.setattr("snapfs.state.staged.os.mkdir", made_and_looked_at)
    monkeypatch.setattr("snapfs.state.staged.fcntl.flock", look_ends_for_who_waits)

    staged = StagedDirectory.create(paths, 7)

    assert looks == []
    staged.release()


def test_a_staged_directory_is_in_use_until_it_is_released(paths: StatePaths) -> None:
    staged = StagedDirectory.create(paths, 7)
    path = os.path.join(paths.staging, "7")

    with unless_in_use(path) as is_idle:
        assert not is_idle
    staged.release()
    staged.release()
    with unless_in_use(path) as is_idle:
        assert is_idle
