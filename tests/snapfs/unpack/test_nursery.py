"""The nursery: one process that forks those which apply layers."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from snapfs.errors import UnavailableError
from snapfs.unpack.messages import Ended, Report
from snapfs.unpack.starting import LayerProcesses
from support.applied_layers import entry
from support.sandbox import wait_until
from support.stores import opened_store
from support.unpack_images import (
    PATIENCE_S,
    layout_of,
    nurseries_of,
    unpack,
    workers_of,
)


@pytest.fixture
def processes() -> Iterator[LayerProcesses]:
    with LayerProcesses() as made:
        yield made
        for left in workers_of():  # by a test that failed
            left.kill()
    assert nurseries_of() == []


class Started:
    """A process that waits for its job."""

    def __init__(self, processes: LayerProcesses, *held: int) -> None:
        self._processes = processes
        nothing = os.open("/dev/null", os.O_RDONLY)
        try:
            self.channel = processes.start((nothing, nothing, *held))
        finally:
            os.close(nothing)

    def stop(self) -> None:
        self.channel.shutdown(socket.SHUT_WR)

    def said(self) -> list[Report]:
        """Return what was said until the end of the process."""
        with self.channel, self.channel.makefile("rb") as lines:
            said = [line for line in lines if line != b"\n"]
        self._processes.release()
        return [msgspec.json.decode(line, type=Report) for line in said]


def test_each_process_is_another_and_one_nursery_starts_them_all(
    processes: LayerProcesses,
) -> None:
    started = [Started(processes) for _ in range(5)]

    wait_until(lambda: len(workers_of()) == 5, "five processes")
    assert len(nurseries_of()) == 1
    for one in started:
        one.stop()
        assert len(one.said()) == 1
    wait_until(lambda: workers_of() == [], "their end")


def test_a_process_ends_with_its_channel_whatever_it_does(
    processes: LayerProcesses,
) -> None:
    stopped, left = Started(processes), Started(processes)
    wait_until(lambda: len(workers_of()) == 2, "two processes")
    for worker in workers_of():
        worker.suspend()  # nothing that it hears helps

    stopped.stop()

    assert stopped.said() == [Ended(-signal.SIGKILL)]
    left.channel.close()  # as the death of the pipeline does
    processes.release()
    wait_until(lambda: workers_of() == [], "the end of the other")


def test_what_one_process_holds_no_other_keeps(
    processes: LayerProcesses, tmp_path: Path
) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    holder = Started(processes, lock)
    os.close(lock)
    other = Started(processes)
    wait_until(lambda: len(workers_of()) == 2, "two processes")

    again = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    holder.stop()
    holder.said()
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    other.stop()
    other.said()


def test_a_nursery_that_was_killed_is_replaced(processes: LayerProcesses) -> None:
    lost = Started(processes)
    wait_until(workers_of, "a process")
    workers = workers_of()
    nurseries_of()[0].kill()
    assert lost.said() == []
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []

    fresh = Started(processes)

    wait_until(workers_of, "a process")
    fresh.stop()
    assert fresh.said()


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_where_no_process_is_to_be_had_the_layer_fails(
    processes: LayerProcesses, more: int
) -> None:
    first = Started(processes)
    wait_until(workers_of, "a process")
    nursery = nurseries_of()[0]
    standard, watched = 3, 2
    held = standard + watched
    wait_until(lambda: nursery.num_fds() == held, "it to have closed the rest")
    used = {int(name) for name in os.listdir(f"/proc/{nursery.pid}/fd")}
    # The next needs three, and one to be watched.
    limit = [number for number in range(held + 4) if number not in used][more]
    nursery.rlimit(psutil.RLIMIT_NOFILE, (limit, limit))

    said = Started(processes).said()

    # Without a descriptor there is nothing to say it by.
    assert all(isinstance(one, Ended) and one.why for one in said)
    assert bool(said) == bool(more)
    first.stop()
    assert isinstance(first.said()[-1], Ended)


def test_an_idle_nursery_ends_and_one_at_work_does_not(
    processes: LayerProcesses,
) -> None:
    started = Started(processes)
    processes.rest(0)
    wait_until(workers_of, "a process")
    started.stop()
    started.said()
    assert len(nurseries_of()) == 1

    processes.rest(0)

    assert nurseries_of() == []


def test_who_waits_to_rest_is_woken_by_the_end(processes: LayerProcesses) -> None:
    started = Started(processes)
    started.stop()
    started.said()
    resting = threading.Thread(target=processes.rest, args=(PATIENCE_S * 100,))
    resting.start()

    processes.close()

    resting.join()
    with pytest.raises(UnavailableError):
        Started(processes)


def test_an_image_of_many_layers_starts_one_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    popen = subprocess.Popen

    def counted(*words: Any, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        started.append(words)
        return popen(*words, **options)

    monkeypatch.setattr(subprocess, "Popen", counted)
    layers = [[entry(f"file-{number}")] for number in range(20)]
    layout = layout_of(tmp_path / "image", *layers)

    with opened_store(tmp_path / "store") as store:
        assert len(unpack(store, layout).made) == len(layers)

    assert len(started) == 1
