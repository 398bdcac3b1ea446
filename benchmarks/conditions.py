"""What else the machine did during a block, and when that spoils it.

proc(5) gives the time stolen by the hypervisor and all CPU time, in ticks of 10 ms;
/proc/schedstat (Documentation/scheduler/sched-stats.rst) has the latter in ns.
Subtracting what worked for us (``accounting.own_cpu_ns``) leaves what others used.
Pressure has totals in microseconds (Documentation/accounting/psi.rst), so that a
block gets its own share instead of a ten-second average.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")

# Fields of the first line of /proc/stat after the word "cpu".
_IDLE: Final = 3
_IOWAIT: Final = 4
_STEAL: Final = 7
_FIELDS: Final = 8  # guest time, behind these, is counted in user time already

# Over less than this, shares of what is counted in ticks are noise.
SHORTEST_NS: Final = 200_000_000

# What runs is booked in ns, but only when it stops or at a tick (4 ms at 250 Hz).
_SHORTEST_BOOKED_NS: Final = 20_000_000

# The first version of /proc/schedstat that counts in nanoseconds.
_SCHEDSTAT_VERSION: Final = 15
_RUN_TIME: Final = 7  # of a cpu line, its name included


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """Totals at one moment; differences of two give :class:`Conditions`."""

    at_ns: int
    busy_s: float
    is_booked: bool
    steal_s: float
    cpu_wait_us: int
    io_wait_us: int
    memory_wait_us: int
    own_cpu_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Conditions:
    """The weather of one block. Shares are of its duration (0.05: 5 %).

    Attributes:
        seconds: How long the block took, with all preparations.
        steal: Time that the hypervisor gave to others, of all CPUs' time.
        foreign_cpu: CPU time of processes that are none of ours, of all CPUs' time.
        cpu_pressure, io_pressure, memory_pressure: PSI "some": at least one task,
            ours included, waited. 0 where the kernel has no PSI.
        load: The one-minute load average at the end.
    """

    seconds: float
    steal: float
    foreign_cpu: float
    cpu_pressure: float
    io_pressure: float
    memory_pressure: float
    load: float


@dataclasses.dataclass(frozen=True, slots=True)
class RedoRule:
    """When a block is measured again. Fixed before the run; no sample decides.

    A block whose conditions exceed any limit is discarded as a whole and done again,
    until ``redos`` are used up; then disturbed blocks are kept and marked. CPU and
    I/O pressure are recorded but decide nothing: what is measured makes them itself.
    """

    steal: float = 0.05
    foreign_cpu: float = 0.20
    memory_pressure: float = 0.10
    redos: int = 3

    def objection(self, conditions: Conditions) -> str:
        """Say which limit ``conditions`` exceed; "" for none."""
        for name in ("steal", "foreign_cpu", "memory_pressure"):
            share, limit = getattr(conditions, name), getattr(self, name)
            if share > limit:
                words = name.replace("_", " ")
                return f"{words} {share:.0%} is above {limit:.0%}"
        return ""


REDO_RULE: Final = RedoRule()


def read_now(own_cpu_ns: int, proc: Path = Path("/proc")) -> Reading:
    """Read the totals. ``own_cpu_ns`` is the CPU time of our processes so far."""
    at_ns = time.perf_counter_ns()
    line = (proc / "stat").read_text().split("\n", 1)[0]
    ticks = [int(word) for word in line.split()[1 : 1 + _FIELDS]]
    unused = ticks[_IDLE] + ticks[_IOWAIT] + ticks[_STEAL]
    booked_s = _booked_s(proc / "schedstat")
    return Reading(
        at_ns=at_ns,
        busy_s=(sum(ticks) - unused) / _TICKS if booked_s is None else booked_s,
        is_booked=booked_s is not None,
        steal_s=ticks[_STEAL] / _TICKS,
        cpu_wait_us=_pressure(proc / "pressure/cpu"),
        io_wait_us=_pressure(proc / "pressure/io"),
        memory_wait_us=_pressure(proc / "pressure/memory"),
        own_cpu_ns=own_cpu_ns,
    )


def between(first: Reading, last: Reading) -> Conditions:
    """Return what happened from ``first`` to ``last``."""
    elapsed_ns = last.at_ns - first.at_ns
    seconds = elapsed_ns / 1e9
    all_cpus_s = seconds * (os.cpu_count() or 1)
    # Shares below the resolution of the clock ticks say nothing.
    is_long = elapsed_ns >= SHORTEST_NS
    is_enough = elapsed_ns >= (_SHORTEST_BOOKED_NS if last.is_booked else SHORTEST_NS)
    own_s = (last.own_cpu_ns - first.own_cpu_ns) / 1e9
    foreign_s = max(0.0, last.busy_s - first.busy_s - own_s)
    steal_s = last.steal_s - first.steal_s
    return Conditions(
        seconds=seconds,
        steal=steal_s / all_cpus_s if is_long else 0.0,
        foreign_cpu=foreign_s / all_cpus_s if is_enough else 0.0,
        cpu_pressure=(last.cpu_wait_us - first.cpu_wait_us) / 1e6 / seconds,
        io_pressure=(last.io_wait_us - first.io_wait_us) / 1e6 / seconds,
        memory_pressure=(last.memory_wait_us - first.memory_wait_us) / 1e6 / seconds,
        load=os.getloadavg()[0],
    )


def _booked_s(path: Path) -> float | None:
    """Return the seconds that tasks ran on all CPUs; None if not counted here."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None  # no CONFIG_SCHEDSTATS
    if int(lines[0].split()[1]) < _SCHEDSTAT_VERSION:
        return None
    booked = [line.split()[_RUN_TIME] for line in lines if line.startswith("cpu")]
    return sum(map(int, booked)) / 1e9


def _pressure(path: Path) -> int:
    """Return the total of the "some" line in microseconds; 0 without PSI."""
    try:
        some = path.read_text().split("\n", 1)[0]
    except OSError:
        return 0  # no CONFIG_PSI, or turned off at boot: reading gives EOPNOTSUPP
    return int(some.rpartition("total=")[2])
