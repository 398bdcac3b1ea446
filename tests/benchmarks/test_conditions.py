"""What a block's weather is, when it is measured again, and how long is left."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs.benchmarks import accounting
from snapfs.benchmarks.conditions import RedoRule, between, read_now
from snapfs.benchmarks.progress import Eta, PrintedProgress
from snapfs.benchmarks.wording import digits, duration, percent, rate, short_time
from support.benchmarking import CALM

SECOND_NS = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def write_proc(
    proc: Path, user: int, idle: int, steal: int = 0, waited_us: int = 0
) -> None:
    (proc / "pressure").mkdir(exist_ok=True)
    (proc / "stat").write_text(f"cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1\n")
    line = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={waited_us}\nfull total=0\n"
    for name in ("cpu", "io", "memory"):
        (proc / "pressure" / name).write_text(line)


def test_shares_are_of_the_time_of_all_cpus(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)
    write_proc(tmp_path, user=0, idle=0)
    first = read_now(0, tmp_path)
    write_proc(tmp_path, user=ticks // 2, idle=0, steal=ticks // 10, waited_us=300_000)
    last = dataclasses.replace(read_now(0, tmp_path), at_ns=first.at_ns + SECOND_NS)

    found = between(first, last)

    assert found.seconds == 1
    assert found.foreign_cpu == pytest.approx(0.5)
    assert found.steal == pytest.approx(0.1)
    assert found.cpu_pressure == pytest.approx(0.3)


def test_our_own_cpu_time_is_not_foreign(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    write_proc(tmp_path, user=0, idle=0)
    first = read_now(0, tmp_path)
    write_proc(tmp_path, user=ticks, idle=0)
    last = read_now(SECOND_NS, tmp_path)

    found = between(first, dataclasses.replace(last, at_ns=first.at_ns + SECOND_NS))

    assert found.foreign_cpu == 0


def test_a_block_shorter_than_the_clock_ticks_has_no_shares(tmp_path: Path) -> None:
    write_proc(tmp_path, user=0, idle=0)
    first = read_now(0, tmp_path)
    write_proc(tmp_path, user=1, idle=0, steal=1)
    last = dataclasses.replace(read_now(0, tmp_path), at_ns=first.at_ns + 10_000_000)

    found = between(first, last)

    assert (found.steal, found.foreign_cpu) == (0, 0)


def test_short_blocks_are_measured_where_the_kernel_counts_nanoseconds(
    tmp_path: Path,
) -> None:
    write_proc(tmp_path, user=0, idle=0)
    schedstat = tmp_path / "schedstat"
    schedstat.write_text("version 17\ntimestamp 1\ncpu0 0 0 0 0 0 0 1000 0 0\n")
    first = read_now(0, tmp_path)
    busy_ns = 25_000_000 * (os.cpu_count() or 1)
    schedstat.write_text(
        f"version 17\ntimestamp 1\ncpu0 0 0 0 0 0 0 {1000 + busy_ns} 0 0\n"
    )
    last = dataclasses.replace(read_now(0, tmp_path), at_ns=first.at_ns + 50_000_000)

    assert between(first, last).foreign_cpu == pytest.approx(0.5)


def test_a_kernel_without_pressure_gives_none(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\n")

    assert read_now(0, tmp_path).cpu_wait_us == 0


def test_this_machine_can_be_read() -> None:
    first = read_now(0)
    found = between(first, dataclasses.replace(read_now(0), at_ns=first.at_ns + 1))

    assert found.load >= 0


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        pytest.param({}, "", id="calm"),
        pytest.param({"steal": 0.05}, "", id="at-the-limit"),
        pytest.param({"steal": 0.06}, "steal 6% is above 5%", id="steal"),
        pytest.param(
            {"foreign_cpu": 0.3}, "foreign cpu 30% is above 20%", id="foreign"
        ),
        pytest.param(
            {"memory_pressure": 0.2}, "memory pressure 20% is above 10%", id="memory"
        ),
        pytest.param({"cpu_pressure": 0.9, "io_pressure": 0.9}, "", id="made-by-us"),
    ],
)
def test_the_redo_rule_looks_at_others_only(
    changes: dict[str, float], objection: str
) -> None:
    assert RedoRule().objection(dataclasses.replace(CALM, **changes)) == objection


def test_the_first_estimate_is_the_plan() -> None:
    eta = Eta([10, 30], Clock())

    assert eta.remaining_s() == 40


def test_what_took_twice_as_long_doubles_the_rest() -> None:
    clock = Clock()
    eta = Eta([10, 30], clock)
    eta.begin(0)
    clock.now = 10
    eta.advance(0.5)

    assert eta.remaining_s() == pytest.approx(10 + 60)

    clock.now = 20
    eta.begin(1)

    assert eta.remaining_s() == pytest.approx(60)


def test_at_the_end_nothing_is_left() -> None:
    clock = Clock()
    eta = Eta([10], clock)
    eta.begin(0)
    clock.now = 3
    eta.advance(1.0)

    assert eta.remaining_s() == 0


def test_the_estimate_never_grows_while_all_goes_as_planned() -> None:
    clock = Clock()
    eta = Eta([5, 10, 5], clock)
    seen = [eta.remaining_s()]
    for index, weight in enumerate([5, 10, 5]):
        eta.begin(index)
        for step in range(1, 6):
            clock.now += weight / 5
            eta.advance(step / 5)
            seen.append(eta.remaining_s())

    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == 0


def test_nothing_planned_leaves_nothing() -> None:
    assert Eta([], Clock()).remaining_s() == 0
    assert Eta([0.0, 0.0], Clock()).remaining_s() == 0


def test_a_file_gets_one_line_a_comparison() -> None:
    stream = io.StringIO()
    progress = PrintedProgress(stream)

    progress.begin([1.0, 59.0])
    for index, name in enumerate(("first", "second")):
        progress.comparison(index, name, blocks=6)
        for number in range(6):
            progress.block_done(number, is_discarded=False)
    progress.end()

    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/2] first: about 1 min left"
    assert lines[1].startswith("[2/2] second: about ")
    assert len(lines) == 2


def test_a_terminal_gets_one_line_that_changes() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    progress = PrintedProgress(stream)

    progress.begin([1.0])
    progress.comparison(0, "first", blocks=6)
    progress.block_done(0, is_discarded=False)
    progress.block_done(1, is_discarded=True)
    progress.end()

    text = stream.getvalue()
    assert "\n" not in text
    assert "block 1/6, 1 redone" in text
    assert text.endswith("\r\x1b[K")


def test_numbers_read_well() -> None:
    assert short_time(1.234e-5) == "12.3 us"
    assert short_time(0.5e-3, (1e-6, "us")) == "500 us"
    assert digits(0.0123) == "0.0123"
    assert digits(1234.5) == "1234"
    assert rate(3 * 2**20) == "3.00 MiB/s"
    assert percent(0.0456) == "4.6 %"
    assert percent(0.25) == "25 %"
    assert duration(7200) == "about 2.0 h"


def test_what_a_command_used_that_has_ended_is_ours() -> None:
    before_ns = accounting.own_cpu_ns()
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    used_ns = accounting.own_cpu_ns() - before_ns

    assert used_ns > 20_000_000


def test_what_a_server_used_is_ours_before_and_after_it_ends() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", "sum(range(5_000_000)); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with server:
        assert server.stdout is not None
        server.stdout.readline()
        living_ns = accounting.own_cpu_ns([server.pid])
        server.kill()
    ended_ns = accounting.own_cpu_ns([server.pid])

    # What ended is booked in ticks where its parent is another process.
    assert ended_ns >= living_ns - 20_000_000
