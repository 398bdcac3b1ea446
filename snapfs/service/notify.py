"""Telling systemd how the service is (sd_notify(3), ``Type=notify``)."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

_log: Final = logging.getLogger(__name__)


class Notifier:
    """Sends states to the socket that systemd names; without one it is silent.

    A lost message is logged and no more: the service works without it.

    Args:
        address: The value of ``NOTIFY_SOCKET``: a path, ``@`` and a name in the
            abstract name space, or "" (or None) where systemd is not there.
    """

    def __init__(self, address: str | None) -> None:
        self._address = _socket_name(address) if address else None

    def ready(self, status: str = "") -> None:
        """Say that calls are served from now on."""
        self._send("READY=1", status)

    def stopping(self, status: str = "") -> None:
        """Say that the service drains and ends."""
        self._send("STOPPING=1", status)

    def alive(self) -> None:
        """Say that the service works; systemd waits ``WatchdogSec=`` for the next."""
        self._send("WATCHDOG=1", "")

    def status(self, status: str) -> None:
        """Say in one line what the service does."""
        self._send("", status)

    def _send(self, state: str, status: str) -> None:
        if self._address is None:
            return
        # A newline would begin another assignment.
        line = " ".join(status.splitlines())
        message = "\n".join(filter(None, (state, line and f"STATUS={line}")))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError as error:
            _log.warning("systemd was not told %r: %s", message, error)


def _socket_name(address: str) -> bytes | None:
    if address.startswith("@"):
        return b"\0" + os.fsencode(address[1:])
    if address.startswith("/"):
        return os.fsencode(address)
    # systemd knows vsock addresses too; they are for virtual machines.
    _log.warning("NOTIFY_SOCKET %r is not a unix socket; systemd is not told", address)
    return None
