"""Bursts: when waiting ends."""

from __future__ import annotations

import threading

from snapfs.state.burst import Burst

_NEVER = 3600.0  # seconds: a wait that only something else can end


def test_without_a_call_there_is_nothing_to_wait_for() -> None:
    Burst(_NEVER).let_pass()


def test_a_burst_ends_when_it_is_quiet() -> None:
    burst = Burst(0.001)
    burst.note_call()

    burst.let_pass()


def test_a_burst_that_does_not_end_delays_only_so_long() -> None:
    burst = Burst(_NEVER, longest_s=0.001)
    burst.note_call()

    burst.let_pass()


def test_urgent_work_does_not_wait() -> None:
    burst = Burst(_NEVER)
    burst.note_call()

    burst.let_pass(is_urgent=lambda: True)


def test_giving_up_ends_a_wait() -> None:
    burst = Burst(_NEVER)
    burst.note_call()
    asked = threading.Event()

    def is_urgent() -> bool:
        asked.set()
        return False

    waiting = threading.Thread(target=burst.let_pass, args=(is_urgent,))
    waiting.start()
    asked.wait()

    burst.give_up()
    waiting.join()
