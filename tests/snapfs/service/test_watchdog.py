"""Signs of life: only while the service answers."""

from __future__ import annotations

import logging
import threading

import pytest

from snapfs.service.watchdog import Watchdog

PATIENCE_S = 30


def test_it_beats_after_each_check_that_succeeds() -> None:
    beats = threading.Semaphore(0)
    watchdog = Watchdog(0.001, lambda: None, beats.release)

    watchdog.start()

    assert all(beats.acquire(timeout=PATIENCE_S) for _ in range(3))
    watchdog.stop()


def test_it_is_silent_while_the_service_does_not_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checked = threading.Semaphore(0)
    beats: list[None] = []

    def check() -> None:
        checked.release()
        raise TimeoutError("no answer")

    watchdog = Watchdog(0.001, check, lambda: beats.append(None))
    watchdog.start()
    assert all(checked.acquire(timeout=PATIENCE_S) for _ in range(3))
    watchdog.stop()

    assert beats == []
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "no answer" in caplog.text
