"""Garbage of every kind: the server neither falls over nor loses a thread."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapfs.rpc import frames
from support.rpc import connected, greeted, grpc_fields, is_answering, message, serving

EXAMPLES = 150
ONE_SERVER = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

FRAMES = st.builds(
    frames.frame,
    st.one_of(st.integers(0, 9), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 0x2D]), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 3]), st.integers(0, 0xFFFFFFFF)),
    st.one_of(
        st.binary(max_size=64),
        st.sampled_from([bytes(4), bytes(5), bytes(6), bytes(8), message(b"abc")]),
    ),
)


class Faults(logging.Handler):
    """Keeps what was logged with an exception: our own mistakes."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(record)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("rpc") / "s"
    faults = Faults()
    log = logging.getLogger("snapfs.rpc")
    log.addHandler(faults)
    try:
        with serving(path):  # asserts at the end that no thread is left
            yield path
    finally:
        log.removeHandler(faults)
    assert [record.getMessage() for record in faults.records] == []


@ONE_SERVER
@given(garbage=st.binary(max_size=200))
def test_bytes_that_are_no_preface_are_survived(server: Path, garbage: bytes) -> None:
    with connected(server) as wire:
        wire.send(garbage)

    assert is_answering(server)


@ONE_SERVER
@given(garbage=st.binary(max_size=300))
def test_bytes_that_are_no_frames_are_survived(server: Path, garbage: bytes) -> None:
    with greeted(server) as wire:
        wire.send(garbage)

    assert is_answering(server)


@ONE_SERVER
@given(garbage=st.lists(FRAMES, max_size=12))
def test_frames_in_no_order_are_survived(server: Path, garbage: list[bytes]) -> None:
    with greeted(server) as wire:
        wire.send(*garbage)

    assert is_answering(server)


@ONE_SERVER
@given(block=st.binary(max_size=120))
def test_header_blocks_of_chance_are_survived(server: Path, block: bytes) -> None:
    with greeted(server) as wire:
        wire.send(
            frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block),
            wire.data(1, message()),
        )

    assert is_answering(server)


@ONE_SERVER
@given(
    name=st.text(st.characters(max_codepoint=255), max_size=12),
    value=st.text(st.characters(max_codepoint=255), max_size=12),
    content=st.binary(max_size=20),
)
def test_fields_and_content_of_chance_are_survived(
    server: Path, name: str, value: str, content: bytes
) -> None:
    with greeted(server) as wire:
        wire.send(
            wire.headers(1, grpc_fields("/t.T/Inline", (name, value))),
            wire.data(1, content),
        )
        end = wire.read_kind(frames.HEADERS, frames.RST_STREAM, frames.GOAWAY)
        if end.kind != frames.GOAWAY:
            wire.ping()

    assert is_answering(server)
