"""Sending content on a stream, as fast as its windows and its peer allow."""

from __future__ import annotations

from snapfs.rpc.flood import FloodGauge
from snapfs.rpc.frames import DATA, DEFAULT_FRAME_SIZE, END_STREAM, frame
from snapfs.rpc.streams import StreamT, StreamTable
from snapfs.rpc.writer import Writer


def send_data(
    table: StreamTable[StreamT],
    writer: Writer,
    gauge: FloodGauge,
    stream: StreamT,
    data: bytes,
    *,
    deadline: float | None,
    lead: bytes = b"",
    ends: bool = False,
) -> bool:
    """Send all of ``data``, waiting for windows and for the peer, without any lock.

    Frames are never longer than every peer takes, whatever its MAX_FRAME_SIZE: grpcio
    changes that often and accepts longer frames only once its change is acknowledged.

    Args:
        table: Where the windows are.
        writer: Of the same connection.
        gauge: Of the same connection.
        stream: What ``data`` belongs to.
        data: Not empty.
        deadline: When to give up, on the monotonic clock.
        lead: Frames that go before the first of these.
        ends: Whether nothing follows on the stream.

    Returns:
        Whether all was sent; if not, the stream is over or so is the time.
    """
    sent, size = 0, len(data)
    while sent < size:
        with table.lock:
            wanted = min(size - sent, DEFAULT_FRAME_SIZE)
            granted = table.take(stream, wanted, deadline)
            if not granted:
                return False
            chunk = data[sent : sent + granted]
            sent += granted
            flags = END_STREAM if ends and sent == size else 0
            writer.send(lead + frame(DATA, flags, stream.id, chunk))
        gauge.credit_bytes(granted)
        writer.wait_for_room()
        lead = b""
    return True
