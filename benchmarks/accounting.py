"""What processes used: exact, from the kernel's own books.

proc(5): ``/proc/PID/io`` counts calls and bytes, ``/proc/PID/task/TID/schedstat``
CPU time and waiting time in nanoseconds (``stat`` only has ticks of 10 ms). A
process that ends takes its counts along: a target keeps its processes during a run.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from snapfs.benchmarks.results import ProcessMemory

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")

# Lines of /proc/PID/io, under the names that results use.
_IO: Final = {
    "rchar": "bytes_read",
    "wchar": "bytes_written",
    "syscr": "read_calls",
    "syscw": "write_calls",
    "read_bytes": "device_bytes_read",
    "write_bytes": "device_bytes_written",
}


def cpu_ns(processes: Iterable[int]) -> int:
    """Return the CPU time of all living threads of ``processes``."""
    return sum(_scheduling(process)["cpu_ns"] for process in processes)


def own_cpu_ns(*groups: Iterable[int]) -> int:
    """Return the CPU time of all that works for this process.

    These are this process, the living ones of ``groups``, children of both that have
    ended and were waited for (a server that is started and ended within a block, a
    command), and the kernel's threads, which write what was written: no stranger's.
    """
    living = {os.getpid()}.union(*groups)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended_s = ended.ru_utime + ended.ru_stime
    ended_s += sum(_ended_children_s(process) for process in living - {os.getpid()})
    return cpu_ns(living) + round(ended_s * 1e9) + cpu_ns(_kernel_threads())


def _ended_children_s(process: int) -> float:
    """Return the CPU time of children of ``process`` that it has waited for."""
    try:
        text = (_PROC / str(process) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # proc(5): cutime and cstime are fields 16 and 17; 3 is the first behind the name.
    words = text.rpartition(")")[2].split()
    return (int(words[13]) + int(words[14])) / _TICKS


def _kernel_threads() -> Iterable[int]:
    """Return the children of kthreadd, which is process 2 (kernel/kthread.c)."""
    for children in (_PROC / "2/task").glob("*/children"):
        yield from map(int, children.read_text().split())


def read_counts(processes: Iterable[int]) -> Counter[str]:
    """Return the totals of ``processes``; those of another user lack what is secret."""
    total: Counter[str] = Counter()
    for process in processes:
        total.update(_io(process))
        total.update(_scheduling(process))
        total.update(_switches(process))
    return total


def read_memory(processes: Iterable[int]) -> tuple[ProcessMemory, ...]:
    """Return the memory of each of ``processes`` that lives; PSS 0 if forbidden."""
    found = []
    for number in processes:
        try:
            process = psutil.Process(number)
            name, rss = process.name(), process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        try:
            pss = process.memory_full_info().pss
        except psutil.AccessDenied:
            pss = 0
        found.append(ProcessMemory(name, rss, pss))
    return tuple(found)


def _io(process: int) -> dict[str, int]:
    try:
        text = (_PROC / str(process) / "io").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    lines = dict(line.split(": ") for line in text.splitlines())
    return {name: int(lines[field]) for field, name in _IO.items() if field in lines}


def _scheduling(process: int) -> Counter[str]:
    """Return CPU and waiting time.

    The kernel books a thread's time when it stops running, so the file is behind
    for the one that reads it; getrusage(2) is not.
    """
    total: Counter[str] = Counter(cpu_ns=0)
    for task in _tasks(process):
        try:
            words = (task / "schedstat").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended, or the kernel lacks SCHED_INFO
        total.update(cpu_ns=int(words[0]), run_queue_wait_ns=int(words[1]))
    if process == os.getpid():
        total["cpu_ns"] = time.process_time_ns()
    return total


def _switches(process: int) -> Counter[str]:
    total: Counter[str] = Counter()
    for task in _tasks(process):
        try:
            lines = (task / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            name, _, number = line.partition(":")
            if name == "voluntary_ctxt_switches":
                total["voluntary_switches"] += int(number)
            elif name == "nonvoluntary_ctxt_switches":
                total["involuntary_switches"] += int(number)
    return total


def _tasks(process: int) -> list[Path]:
    try:
        return list((_PROC / str(process) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []
