"""The worker process: started when needed, replaced when it dies, ended for good."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from snapfs.errors import UnavailableError
from snapfs.worker.process import WorkerProcess


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess()
    yield process
    process.close()


def process_of(worker: WorkerProcess) -> subprocess.Popen[str]:
    assert worker._process is not None
    return worker._process


def test_nothing_runs_before_it_is_needed(worker: WorkerProcess) -> None:
    assert worker._process is None


def test_a_tree_is_measured_and_removed(worker: WorkerProcess, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").touch()

    assert worker.measure(str(tree)).inodes == 2
    (removal,) = worker.remove(str(tmp_path), ["tree"], measured=True)
    assert removal.usage.inodes == 2
    assert removal.error is None
    assert not tree.exists()


def test_a_path_of_any_bytes_arrives(worker: WorkerProcess, tmp_path: Path) -> None:
    tree = tmp_path / os.fsdecode(b'\xff \n"quoted" \xc3\xbc')
    tree.mkdir()

    (removal,) = worker.remove(str(tmp_path), [tree.name], measured=False)

    assert removal.usage.inodes == 1


def test_an_error_keeps_its_number_and_names_what_failed(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotADirectoryError) as raised:
        worker.measure(str(tmp_path / "file/below"))

    assert raised.value.errno == errno.ENOTDIR
    assert raised.value.filename == str(tmp_path / "file/below")
    assert worker.measure(str(tmp_path)).inodes == 2


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="changes attributes")
@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_each_tree_that_stays_has_its_own_error(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    precious = tmp_path / "b/file"

    subprocess.run(["chattr", "+i", precious], check=True)
    try:
        removals = worker.remove(str(tmp_path), ["a", "b", "c"], measured=False)
    finally:
        subprocess.run(["chattr", "-i", precious], check=True)

    assert [removal.usage.inodes for removal in removals] == [2, 0, 2]
    error = removals[1].error
    assert isinstance(error, PermissionError)
    assert error.filename == str(precious)


def test_a_directory_that_is_not_there_is_an_error(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        worker.remove(str(tmp_path / "missing"), ["a"], measured=False)


def test_it_runs_at_the_lowest_priority(worker: WorkerProcess, tmp_path: Path) -> None:
    worker.measure(str(tmp_path))

    running = psutil.Process(process_of(worker).pid)

    assert running.nice() == 19
    assert running.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


def test_a_killed_process_is_replaced(worker: WorkerProcess, tmp_path: Path) -> None:
    for _ in range(5):
        assert worker.measure(str(tmp_path)).inodes == 1
        process_of(worker).kill()
    assert worker.measure(str(tmp_path)).inodes == 1


def test_a_process_that_is_killed_at_work_is_replaced(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    worker.measure(str(tmp_path))
    victim = process_of(worker)
    victim.send_signal(signal.SIGSTOP)  # takes the request and does not answer
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(worker.measure(str(tmp_path)).inodes)
    )
    asking.start()

    victim.kill()
    asking.join()

    assert answers == [1]
    assert process_of(worker).pid != victim.pid


def test_an_answer_that_is_cut_short_is_none(
    worker: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen
    programs = [
        'import sys; sys.stdin.readline(); sys.stdout.write("{\\"size_by")',
        "import sys; sys.stdin.readline()",
    ]

    def start(command: list[str], **options: object) -> object:
        if programs:
            command = [sys.executable, "-c", programs.pop(0)]
        return popen(command, **options)  # type: ignore[call-overload]  # passed through

    monkeypatch.setattr(subprocess, "Popen", start)

    with pytest.raises(UnavailableError, match="died"):
        worker.measure(str(tmp_path))
    assert worker.measure(str(tmp_path)).inodes == 1


def test_an_interrupted_request_does_not_answer_the_next_one(
    worker: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "three/more").mkdir(parents=True)
    worker.measure(str(tmp_path))
    stdout = process_of(worker).stdout

    class Interrupted:
        def readline(self) -> str:
            raise KeyboardInterrupt

        def close(self) -> None:
            assert stdout is not None
            stdout.close()

    monkeypatch.setattr(process_of(worker), "stdout", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        worker.measure(str(tmp_path))

    assert worker.measure(str(tmp_path / "three/more")).inodes == 1


def test_closing_ends_a_request_that_is_at_work(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    worker.measure(str(tmp_path))
    victim = process_of(worker)
    victim.send_signal(signal.SIGSTOP)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            worker.measure(str(tmp_path))
        except UnavailableError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not worker._lock.locked():
        os.sched_yield()

    worker.close()
    asking.join()

    assert len(failures) == 1
    assert worker._process is None
    assert victim.returncode == -signal.SIGKILL


def test_a_closed_worker_starts_no_process(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    worker.close()
    worker.close()

    with pytest.raises(UnavailableError, match="closed"):
        worker.measure(str(tmp_path))

    assert worker._process is None


OWNER = """
import os, sys
from snapfs.worker.process import WorkerProcess
worker = WorkerProcess()
worker.measure("/nonexistent")
print(worker._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_it_does_not_outlive_an_owner_that_is_killed() -> None:
    owner = subprocess.run(
        [sys.executable, "-c", OWNER], capture_output=True, text=True, check=False
    )

    while is_alive(int(owner.stdout)):
        os.sched_yield()


def test_it_loads_neither_sqlite_nor_grpc() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, snapfs.worker.__main__; print(*sorted(sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {"sqlite3", "grpc", "click", "rich", "msgspec"}.isdisjoint(loaded)
