"""What systemd is told."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.service.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[str, socket.socket]]:
    """The value of NOTIFY_SOCKET, and the socket behind it."""
    name = f"snapfs-test-{secrets.token_hex(8)}"
    address = f"@{name}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}" if request.param == "abstract" else address)
        listener.settimeout(30)
        yield address, listener


def test_ready_status_and_stopping_arrive(systemd: tuple[str, socket.socket]) -> None:
    address, listener = systemd
    notifier = Notifier(address)

    notifier.ready("listening")
    notifier.status("two\nlines")
    notifier.stopping()

    assert [listener.recv(4096) for _ in range(3)] == [
        b"READY=1\nSTATUS=listening",
        b"STATUS=two lines",
        b"STOPPING=1",
    ]


@pytest.mark.parametrize("address", [None, ""])
def test_without_systemd_nothing_happens(
    address: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(address).ready()

    assert caplog.records == []


@pytest.mark.parametrize(
    "address", ["/nowhere/at/all", "vsock:2:1234", "/" + "x" * 200]
)
def test_a_socket_that_cannot_be_reached_is_logged(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(address).ready()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
