"""Counts are exact: what a process did, and no more."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.benchmarks import syscall_counts
from snapfs.benchmarks.accounting import cpu_ns, read_counts, read_memory
from snapfs.benchmarks.backing import Backing
from snapfs.benchmarks.counter_gate import (
    Limit,
    Standing,
    load_limits,
    save_limits,
    try_limits,
)
from snapfs.benchmarks.instance import Instance
from snapfs.benchmarks.placement import Pinning, Placement
from snapfs.benchmarks.protocols import Cell, Target
from snapfs.benchmarks.results import Counted
from snapfs.benchmarks.scenarios import SCENARIOS
from snapfs.benchmarks.syscall_counts import SyscallCounter
from snapfs.benchmarks.targets import TARGETS
from snapfs.benchmarks.workspaces import open_workspaces
from snapfs.errors import DataLossError, NotFoundError
from support.benchmarking import Copy, Question

needs_perf = pytest.mark.skipif(
    bool(syscall_counts.unavailable()), reason=syscall_counts.unavailable()
)


def counted(directory: Path, question: Question, target: Target) -> Counted:
    (cell,) = question.cells(None)  # type: ignore[arg-type]  # it looks at none
    instance = Instance("one", target, question, cell, Pinning(Placement.FREE))
    with open_workspaces(Backing.DIRECTORY, directory) as workspaces, closing(instance):
        instance.open(workspaces, seed=1)
        return instance.count()


def stat_root(_target: Target) -> None:
    for _ in range(100):
        os.stat("/")


@needs_perf
def test_system_calls_of_the_client_are_counted_to_the_last(tmp_path: Path) -> None:
    question = Question(work=stat_root, cell=Cell({}, operations=100))

    found = counted(tmp_path, question, Copy())

    assert min(found.counts["client.syscalls"]) == pytest.approx(100, abs=3)
    assert found.uncounted == {
        "target.syscalls": "the target has no processes of its own"
    }


@pytest.fixture
def echo() -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads one byte and writes it back, again and again."""
    program = "import os\nwhile data := os.read(0, 1):\n    os.write(1, data)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    try:
        ask(process)  # it runs
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b".")
    assert process.stdout.read(1) == b"."


@needs_perf
def test_calls_of_another_process_are_counted_only_while_switched_on(
    echo: subprocess.Popen[bytes],
) -> None:
    with SyscallCounter([echo.pid]) as counter:
        ask(echo)
        with counter.counting():
            for _ in range(50):
                ask(echo)
        ask(echo)

    # A read and a write for each; the last read may begin outside.
    assert counter.counts["syscalls"] == pytest.approx(100, abs=2)


def test_calls_and_bytes_of_another_process_are_exact(
    echo: subprocess.Popen[bytes],
) -> None:
    before = read_counts([echo.pid])
    for _ in range(50):
        ask(echo)
    after = read_counts([echo.pid])

    after.subtract(before)
    assert after["write_calls"] == 50
    assert after["bytes_written"] == 50
    # Whoever wakes the other may be preempted by it: either kind will do.
    assert after["voluntary_switches"] + after["involuntary_switches"] >= 1


class Talkative(Copy):
    """A target with a process, and a counter of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__("talkative")
        self.process = process
        self.asked = 0

    def processes(self) -> list[int]:
        return [self.process.pid]

    def counts(self) -> dict[str, int]:
        return {"questions": self.asked}


def test_an_instance_counts_its_target_by_operation(
    tmp_path: Path, echo: subprocess.Popen[bytes]
) -> None:
    target = Talkative(echo)

    def work(_target: Target) -> None:
        for _ in range(10):
            ask(echo)
            target.asked += 1

    found = counted(tmp_path, Question(work=work, cell=Cell({}, operations=10)), target)

    assert found.counts["target.write_calls"] == (10, 10, 10)
    assert found.counts["target.questions"] == (10, 10, 10)
    assert len(found.memory) == 1
    assert found.memory[0].rss_bytes > 0


def test_cpu_time_counts_work_and_not_waiting(echo: subprocess.Popen[bytes]) -> None:
    begin = cpu_ns([os.getpid()])
    sum(range(1_000_000))
    after_work = cpu_ns([os.getpid()])

    assert after_work > begin
    assert cpu_ns([echo.pid]) > 0


def test_processes_that_have_ended_count_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert read_memory([process.pid]) == ()
    assert read_counts([process.pid])["cpu_ns"] == 0


def test_memory_that_is_used_shows(echo: subprocess.Popen[bytes]) -> None:
    (before,) = read_memory([os.getpid()])
    with mmap.mmap(-1, 64 << 20) as pages:
        for offset in range(0, len(pages), mmap.PAGESIZE):
            pages[offset] = 1
        (during,) = read_memory([os.getpid()])

    assert during.rss_bytes - before.rss_bytes > 32 << 20


def limit(per_operation: float, **changes: object) -> Limit:
    settings = {
        "scenario": "file_creation_latency",
        "parameters": {"size_bytes": 4096},
        "target": "plain-directory",
        "counter": "client.write_calls",
        "per_operation": per_operation,
        "tolerance": 0.02,
        **changes,
    }
    return Limit(**settings)  # type: ignore[arg-type]  # checked by the tests


@pytest.mark.parametrize(
    ("per_operation", "standing"),
    [(1.0, Standing.HOLDS), (0.5, Standing.EXCEEDED), (2.0, Standing.IMPROVED)],
)
def test_the_gate_tells_more_from_less(
    tmp_path: Path, per_operation: float, standing: Standing
) -> None:
    (result,) = try_limits([limit(per_operation)], TARGETS, SCENARIOS, tmp_path)

    assert result.found == 1.0
    assert result.standing is standing
    assert list(tmp_path.iterdir()) == []


def test_a_counter_that_is_not_there_is_not_tried(tmp_path: Path) -> None:
    (result,) = try_limits(
        [limit(1, counter="target.syscalls")], TARGETS, SCENARIOS, tmp_path
    )

    assert result.standing is Standing.UNTRIED
    assert result.reason == "the target has no processes of its own"


@pytest.mark.parametrize(
    "changes",
    [{"scenario": "gone"}, {"target": "gone"}, {"parameters": {"size_bytes": 7}}],
)
def test_a_limit_of_something_gone_is_an_error(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    with pytest.raises(NotFoundError, match=r"gone|no such"):
        try_limits([limit(1, **changes)], TARGETS, SCENARIOS, tmp_path)


def test_found_counts_become_limits_and_untried_ones_stay(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    limits = [limit(7.0), limit(5.0, counter="target.syscalls")]
    work = tmp_path / "work"
    work.mkdir()

    save_limits(try_limits(limits, TARGETS, SCENARIOS, work), file)

    assert [each.per_operation for each in load_limits(file)] == [1.0, 5.0]


def test_a_damaged_baseline_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "limits.json"
    file.write_text('[{"scenario": 1}]')

    with pytest.raises(DataLossError, match=r"limits\.json"):
        load_limits(file)
