"""One client's connection from its preface to its end."""

from __future__ import annotations

import logging
import time
from typing import Final

from snapfs.rpc import frames
from snapfs.rpc.frames import ConnectionFault, ErrorCode
from snapfs.rpc.request_reader import RequestReader

_log = logging.getLogger(__name__)

# Time for a client to say that it speaks HTTP/2 at all.
GREETING_TIMEOUT_S: Final = 10.0

# Time for the last words to a client that broke a rule.
_GOODBYE_TIMEOUT_S: Final = 1.0


class ServerConnection(RequestReader):
    """Serves one client, on the thread that calls ``run``."""

    def run(self) -> None:
        """Serve until either side ends the connection; nothing is raised."""
        try:
            self._sock.settimeout(GREETING_TIMEOUT_S)
            self._read_frames(self._read_preface())
        except ConnectionFault as fault:
            _log.warning("the connection of %s was ended: %s", self._peer, fault)
            self._say_goodbye(fault.code, fault.message)
        except TimeoutError:
            _log.warning("%s connected and said nothing", self._peer)
        except OSError as error:
            _log.debug("the connection of %s broke: %s", self._peer, error)
        except Exception:  # noqa: BLE001 - logged; costs this client only
            _log.exception("the connection of %s failed", self._peer)
            self._say_goodbye(ErrorCode.INTERNAL_ERROR, "")
        finally:
            for stream in self._table.end_all():
                if not stream.is_running:
                    self._runner.release(stream)
            self._release_answered()
            self._writer.close()

    def close(self) -> None:
        """Close a connection that is not run."""
        self._writer.close()

    def begin_drain(self) -> None:
        """Refuse new calls; those at work go on. From any thread."""
        with self._table.lock:
            self._is_draining = True
            last = self._highest_id
        self._writer.send(frames.goaway(last, ErrorCode.NO_ERROR, "shutting down"))

    def finish_drain(self, deadline: float) -> bool:
        """Wait until calls are over and sent, then end the connection.

        From any thread.

        Returns:
            Whether they were over by ``deadline``, of the monotonic clock.
        """
        is_idle = self._runner.wait_for_none(deadline)
        self._writer.flush(max(0.0, deadline - time.monotonic()))
        self._writer.shut_down()
        return is_idle

    def _read_preface(self) -> bytes:
        """Read the client's preface; return what came behind it."""
        data = b""
        while len(data) < len(frames.PREFACE):
            chunk = self._sock.recv(4096)
            data += chunk
            if not chunk or not frames.PREFACE.startswith(data[: len(frames.PREFACE)]):
                raise ConnectionFault(
                    ErrorCode.PROTOCOL_ERROR, f"{data[:24]!r} is not HTTP/2"
                )
        return data[len(frames.PREFACE) :]

    def _say_goodbye(self, code: ErrorCode, message: str) -> None:
        self._send_batch()  # answers to what was in order before the fault
        self._writer.send(frames.goaway(self._highest_id, code, message))
        self._writer.flush(_GOODBYE_TIMEOUT_S)
