"""The small parts: texts, header blocks, messages, windows, threads."""

from __future__ import annotations

import itertools
import struct
import threading
import time

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.rpc.frames import (
    MAX_31_BITS,
    ConnectionFault,
    ErrorCode,
    StreamFault,
)
from snapfs.rpc.grpc_text import (
    decoded_message,
    encoded_message,
    parsed_timeout,
    timeout_text,
)
from snapfs.rpc.header_blocks import NO_TABLE, HeaderReader, literal
from snapfs.rpc.messages import MessageReader, only_message, prefixed
from snapfs.rpc.request_encoder import RequestEncoder
from snapfs.rpc.status import RpcError
from snapfs.rpc.streams import ReceiveWindow, Stream, StreamTable
from snapfs.rpc.threads import ThreadPool
from support.sandbox import wait_until

# How long an example takes says how busy the machine is.
without_a_deadline = settings(deadline=None, database=None)

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b":path", b"grpc-timeout", b"x-trace", b"user-agent"]),
        st.sampled_from([b"", b"/a", b"/b", b"1" * 40, b"2" * 1500, b"3" * 5000]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"4m", 0.004),
        (b"5u", 0.000005),
        (b"99999999n", 0.099999999),
        (b"0S", 0),
    ],
)
def test_timeout_has_six_units(text: bytes, seconds: float) -> None:
    assert parsed_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", [b"", b"S", b"1", b"1s", b"-1S", b"123456789S", b"1 S", b"1S\n", b"1.5S"]
)
def test_timeout_of_another_form_is_none(text: bytes) -> None:
    assert parsed_timeout(text) is None


@without_a_deadline
@given(st.floats(0, 1e9))
def test_timeout_that_is_sent_is_never_shorter_and_not_much_longer(
    seconds: float,
) -> None:
    sent = parsed_timeout(timeout_text(seconds))

    assert sent is not None
    assert seconds < sent or sent == pytest.approx(seconds) or seconds > 99_999_998
    assert sent <= seconds * 1.001 + 2e-6


@without_a_deadline
@given(st.text(max_size=400))
def test_message_survives_the_header(text: str) -> None:
    encoded = encoded_message(text)

    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert decoded_message(encoded) == text.encode("utf-8", "replace").decode()


def test_message_is_cut_at_a_character() -> None:
    encoded = encoded_message("ä" * 10_000)

    assert len(encoded) <= 7168
    assert set(decoded_message(encoded)) == {"ä"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"50%", "50%"), (b"%zz", "%zz"), (b"%C3%A4", "ä"), (b"%FF", "\ufffd")],
)
def test_message_that_is_not_encoded_well_is_read_anyway(raw: bytes, text: str) -> None:
    assert decoded_message(raw) == text


@without_a_deadline
@given(st.lists(FIELDS, max_size=12), st.lists(st.integers(0, 11), max_size=3))
def test_remembered_blocks_mean_what_a_decoder_says(
    blocks: list[list[tuple[bytes, bytes, bool]]], resizes: list[int]
) -> None:
    encoder = hpack.Encoder()
    oracle = hpack.Decoder()
    reader = HeaderReader(list)

    for number, fields in enumerate(blocks):
        if number in resizes:
            encoder.header_table_size = (0, 200, 4096)[number % 3]
        for _ in range(3):
            block = encoder.encode(fields)
            assert reader.read(block) == list(oracle.decode(block, raw=True))


def test_repeated_block_is_read_once() -> None:
    numbers = itertools.count(1)
    reader = HeaderReader(lambda _: next(numbers))
    encoder = hpack.Encoder()
    fields = [(b":method", b"POST"), (b":path", b"/t.T/Stat")]

    got = [reader.read(encoder.encode(fields)) for _ in range(5)]

    # Once with the new entry, once without; then it is known.
    assert got == [1, 2, 2, 2, 2]


def test_literals_of_any_length_are_what_a_decoder_reads() -> None:
    fields = [(b"n%d" % size, b"v" * size) for size in (0, 1, 126, 127, 128, 255, 9000)]
    block = NO_TABLE + b"".join(literal(name, value) for name, value in fields)

    assert [tuple(f) for f in hpack.Decoder().decode(block, raw=True)] == fields


def test_requests_of_one_path_are_a_few_bytes_from_the_second_on() -> None:
    encoder, decoder = RequestEncoder(), hpack.Decoder()

    blocks = [encoder.encode(path, None) for path in ("/a/A", "/a/B") * 3]
    with_timeout = encoder.encode("/a/A", 1.5)

    paths = [dict(decoder.decode(block, raw=True))[b":path"] for block in blocks]
    assert paths == [b"/a/A", b"/a/B"] * 3
    assert len(blocks[-1]) == 7
    fields = dict(decoder.decode(with_timeout, raw=True))
    assert fields[b"grpc-timeout"] == b"1500001u"


def test_encoder_keeps_to_the_table_of_its_server() -> None:
    encoder, decoder = RequestEncoder(), hpack.Decoder()
    decoder.decode(encoder.encode("/a/A", None))

    encoder.set_table_size(0)
    decoder.max_allowed_table_size = 0

    for path in ("/a/A", "/a/A", "/a/B"):
        fields = dict(decoder.decode(encoder.encode(path, None), raw=True))
        assert fields[b":path"] == path.encode()


@without_a_deadline
@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 60)))
def test_messages_come_whole_however_they_are_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    reader = MessageReader(50)
    data = b"".join(map(prefixed, messages))
    got: list[bytes] = []

    for size in [*cuts, len(data)]:
        got += reader.feed(data[:size])
        data = data[size:]
    reader.finish()

    assert got == messages


@pytest.mark.parametrize(
    "payload",
    [b"", b"\0\0\0\0", b"\1\0\0\0\0", prefixed(b"ab")[:-1], prefixed(b"") * 2],
)
def test_frame_that_is_not_just_one_message_is_told_apart(payload: bytes) -> None:
    assert only_message(payload) is None
    assert only_message(prefixed(b"ab")) == b"ab"


def test_message_beyond_the_limit_is_refused_before_it_is_kept() -> None:
    with pytest.raises(RpcError):
        MessageReader(50).feed(struct.pack(">BI", 0, 51))


def test_window_opens_by_halves() -> None:
    window = ReceiveWindow(100)

    assert window.use(49)
    assert window.growth() == 0
    assert window.use(1)
    assert window.growth() == 50
    assert window.growth() == 0
    assert window.use(100)
    assert not window.use(1)


def opened(table: StreamTable[Stream], stream_id: int) -> Stream:
    stream = Stream(stream_id)
    with table.lock:
        table.add(stream)
    return stream


def taken(table: StreamTable[Stream], stream: Stream, wanted: int) -> int:
    with table.lock:
        return table.take(stream, wanted, deadline=0.0)


def test_grant_is_the_least_of_three() -> None:
    table: StreamTable[Stream] = StreamTable()
    with table.lock:
        table.set_initial_window(100)
    stream = opened(table, 1)

    assert taken(table, stream, 60) == 60
    assert taken(table, stream, 60) == 40
    assert taken(table, stream, 60) == 0
    with table.lock:
        table.set_initial_window(50)
    table.grow(1, 50)
    assert taken(table, stream, 1) == 0  # 0 again, after -50
    table.grow(1, 7)
    assert taken(table, stream, 60) == 7


def test_growth_wakes_who_waits_for_it() -> None:
    table: StreamTable[Stream] = StreamTable()
    with table.lock:
        table.set_initial_window(0)
    stream = opened(table, 1)
    granted: list[int] = []

    def take() -> None:
        with table.lock:
            granted.append(table.take(stream, 10, None))

    thread = threading.Thread(target=take)
    thread.start()
    table.grow(1, 4)
    thread.join()

    assert granted == [4]


@pytest.mark.parametrize("stream_id", [0, 1])
@pytest.mark.parametrize(
    ("growth", "code"),
    [(0, ErrorCode.PROTOCOL_ERROR), (MAX_31_BITS, ErrorCode.FLOW_CONTROL_ERROR)],
)
def test_growth_out_of_bounds_is_a_fault_of_its_owner(
    stream_id: int, growth: int, code: ErrorCode
) -> None:
    table: StreamTable[Stream] = StreamTable()
    opened(table, 1)

    fault = StreamFault if stream_id else ConnectionFault
    with pytest.raises(fault, match=code.name):
        table.grow(stream_id, growth)


def test_pool_starts_threads_as_they_are_needed_and_ends_them() -> None:
    pool = ThreadPool("snapfs-test", 2)
    may_end = threading.Event()
    begun = threading.Semaphore(0)

    def job() -> None:
        begun.release()
        may_end.wait()

    assert pool.submit(job)
    assert begun.acquire(timeout=20)
    assert pool.submit_now(job)
    assert begun.acquire(timeout=20)
    assert not pool.submit_now(job)
    assert pool.submit(job)  # it waits
    assert not pool.stop(time.monotonic())
    may_end.set()
    assert pool.stop(time.monotonic() + 20)
    assert not pool.submit(job)


def test_pool_survives_a_job_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadPool("snapfs-test", 1)
    done = threading.Event()

    def bad() -> None:
        raise ValueError

    pool.submit(bad)
    pool.submit(done.set)

    assert done.wait(20)
    assert pool.stop(time.monotonic() + 20)
    assert "a job of snapfs-test failed" in caplog.text


def test_guest_takes_the_place_of_a_thread() -> None:
    pool = ThreadPool("snapfs-test", 1)
    order: list[str] = []
    done = threading.Event()

    def guest() -> None:
        assert not pool.enter()
        assert not pool.submit_now(done.set)
        assert pool.submit(queued)
        order.append("guest")

    def queued() -> None:
        order.append("queued")
        done.set()

    assert pool.enter()
    pool.run(guest)
    assert done.wait(20)
    assert pool.stop(time.monotonic() + 20)

    assert order == ["guest", "queued"]
    assert not pool.enter()


def test_threads_of_a_burst_end_after_it() -> None:
    pool = ThreadPool("snapfs-test", 60)
    before = threading.active_count()
    all_there = threading.Barrier(61)

    def job() -> None:
        all_there.wait(20)

    for _ in range(60):
        assert pool.submit_now(job)
    at_its_height = threading.active_count() - before
    all_there.wait(20)
    wait_until(lambda: threading.active_count() - before < 20, "threads to end")

    assert at_its_height == 60
    assert pool.stop(time.monotonic() + 20)
    assert threading.active_count() == before
