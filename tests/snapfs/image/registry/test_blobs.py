"""Blobs: whole in spite of broken connections, and never more than was asked."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing

import pytest

from snapfs.digest import Digest
from snapfs.errors import (
    DataLossError,
    DigestMismatchError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from snapfs.image.descriptor import Descriptor
from snapfs.image.registry.settings import RegistrySettings
from snapfs.image.registry.source import RegistrySource
from snapfs.image.registry.transport import Patience
from snapfs.image.source import BlobReader
from snapfs.image.verified import open_verified
from support.hostile_registry import HostileRegistry
from support.sandbox import wait_until

from .conftest import HASTY, OpenSource

# As many as fit twice into the blob, so that there are several to load ahead.
RANGE = 40_000


@pytest.fixture(params=[0, 1, 4], ids=["one-connection", "one-ahead", "four-ahead"])
def use(request: pytest.FixtureRequest, settings: RegistrySettings) -> RegistrySettings:
    return dataclasses.replace(settings, connections=request.param, range_bytes=RANGE)


@pytest.fixture
def wanted(registry: HostileRegistry, blob: bytes) -> Descriptor:
    return Descriptor("", Digest(registry.add_blob(blob)), len(blob))


def read_all(reader: BlobReader, piece_bytes: int = 10_000) -> bytes:
    with closing(reader):
        return b"".join(iter(lambda: reader.read(piece_bytes), b""))


def read_into(read: bytearray, reader: BlobReader) -> None:
    while piece := reader.read(1000):
        read.extend(piece)


def ranges(registry: HostileRegistry) -> list[str | None]:
    return [one.headers.get("Range") for one in registry.requests("GET", "/blobs/")]


@pytest.mark.parametrize("offset", [0, 1, 150_000, 299_999, 300_000])
def test_a_blob_is_read_from_any_offset(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
    offset: int,
) -> None:
    reader = open_source(registry, use=use).open_blob(wanted, offset)

    assert read_all(reader) == blob[offset:]
    assert registry.blob_bytes_sent == len(blob) - offset


def test_an_empty_blob_is_read(
    registry: HostileRegistry, open_source: OpenSource
) -> None:
    digest = Digest(registry.add_blob(b""))

    assert read_all(open_source(registry).open_blob(Descriptor("", digest, 0))) == b""


def test_small_blobs_are_read_with_one_plain_request(
    registry: HostileRegistry,
    open_source: OpenSource,
    use: RegistrySettings,
) -> None:
    content = bytes(2 * RANGE)
    descriptor = Descriptor("", Digest(registry.add_blob(content)), len(content))

    assert read_all(open_source(registry, use=use).open_blob(descriptor)) == content
    assert ranges(registry) == [None]


def test_after_a_cut_only_the_rest_is_asked_for(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
) -> None:
    registry.does.cuts = deque([100_000, 50_000])

    read = read_all(open_source(registry).open_blob(wanted))

    assert read == blob
    first, *later = ranges(registry)
    assert first is None
    starts = [int((text or "")[len("bytes=") :].split("-")[0]) for text in later]
    assert len(starts) == 2
    # What was still on its way when the connection was cut is sent again.
    assert 80_000 <= starts[0] <= 100_000
    assert starts[0] < starts[1] <= starts[0] + 50_000
    assert registry.blob_bytes_sent < len(blob) + 2 * 20_000


def test_cuts_in_any_connection_are_mended(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
) -> None:
    registry.does.cuts = deque([30_000, 10_000, 39_999, 20_000])

    assert read_all(open_source(registry, use=use).open_blob(wanted)) == blob


def test_a_registry_without_ranges_sends_all_again(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
) -> None:
    registry.does.has_ranges = False
    registry.does.cuts = deque([100_000])

    assert read_all(open_source(registry, use=use).open_blob(wanted)) == blob
    assert registry.blob_bytes_sent == 100_000 + len(blob)


def test_a_registry_without_ranges_skips_to_the_offset(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
) -> None:
    registry.does.has_ranges = False

    assert read_all(open_source(registry).open_blob(wanted, 123_456)) == blob[123_456:]


def test_a_connection_that_always_breaks_at_one_place_is_given_up(
    registry: HostileRegistry, open_source: OpenSource, wanted: Descriptor
) -> None:
    registry.does.cuts = deque([100_000, *[0] * 10])
    reader = open_source(registry).open_blob(wanted)

    with pytest.raises(UnavailableError, match="broken off at byte") as caught:
        read_all(reader)

    assert registry.host in str(caught.value)
    assert len(ranges(registry)) == HASTY.attempts


def test_a_missing_blob_is_named(
    registry: HostileRegistry, open_source: OpenSource, wanted: Descriptor
) -> None:
    registry.blobs.clear()

    with pytest.raises(NotFoundError, match="blob unknown to registry") as caught:
        open_source(registry).open_blob(wanted)

    assert str(wanted.digest) in str(caught.value)


@pytest.mark.parametrize("lie", [-1, 1, 10**30])
def test_a_blob_of_another_length_is_refused(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    lie: int,
) -> None:
    registry.does.announced_length = wanted.size_bytes + lie

    with pytest.raises(DataLossError, match="should have 300000"):
        open_source(registry).open_blob(wanted)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_descriptor_of_another_size_is_noticed(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    use: RegistrySettings,
    difference: int,
) -> None:
    other = dataclasses.replace(wanted, size_bytes=wanted.size_bytes + difference)

    with pytest.raises(DataLossError, match="has 300000 bytes"):
        open_source(registry, use=use).open_blob(other)


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param("bytes 5-299999/300000", id="start"),
        pytest.param("bytes 1-400000/300000", id="end"),
        pytest.param("bytes 1-299999/400000", id="total"),
        pytest.param("bytes 1-0/300000", id="empty"),
        pytest.param("items 1-299999/300000", id="unit"),
        pytest.param("bytes */300000", id="unsatisfied"),
        pytest.param("bytes 1-99999999999999999999999/*", id="huge"),
    ],
)
def test_a_part_that_was_not_asked_for_is_refused(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    lie: str,
) -> None:
    registry.does.content_range = lie

    with pytest.raises(DataLossError):
        open_source(registry).open_blob(wanted, 1)


def test_wrong_content_does_not_get_through_the_verified_reader(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    use: RegistrySettings,
) -> None:
    registry.does.wrong_blobs = True
    source = open_source(registry, use=use)

    with pytest.raises(DigestMismatchError, match=str(wanted.digest)):
        read_all(open_verified(source, wanted))


def test_a_blob_is_verified_from_its_registry(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
) -> None:
    assert read_all(open_verified(open_source(registry, use=use), wanted)) == blob


def test_many_threads_read_at_once(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
) -> None:
    source = open_source(registry, use=use)
    results: list[bytes] = []

    def read() -> None:
        results.append(read_all(source.open_blob(wanted)))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [blob] * 6


def test_a_reader_that_nobody_reads_does_not_keep_others_waiting(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    use: RegistrySettings,
) -> None:
    source = open_source(registry, use=use)
    with closing(source.open_blob(wanted)) as idle:
        assert read_all(source.open_blob(wanted)) == blob
        assert idle.read(10) == blob[:10]


def test_what_is_loaded_ahead_is_bounded(
    registry: HostileRegistry,
    open_source: OpenSource,
    settings: RegistrySettings,
) -> None:
    content = bytes(50 * RANGE)
    descriptor = Descriptor("", Digest(registry.add_blob(content)), len(content))
    use = dataclasses.replace(settings, connections=2, range_bytes=RANGE)
    source = open_source(registry, use=use)

    first, second = source.open_blob(descriptor), source.open_blob(descriptor)
    read = [first.read(1), second.read(1)]
    source.close()

    assert read == [b"\0", b"\0"]
    # Each reads one range itself, and two are loaded ahead for both together.
    assert len(ranges(registry)) <= 4
    first.close()
    second.close()


def test_a_failure_ahead_is_reported_in_its_place_and_stays(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    settings: RegistrySettings,
) -> None:
    use = dataclasses.replace(settings, connections=1, range_bytes=RANGE)
    reader = open_source(registry, use=use).open_blob(wanted)
    read = bytearray()

    registry.blobs.clear()
    with pytest.raises(NotFoundError):
        read_into(read, reader)
    with pytest.raises(NotFoundError):
        reader.read(1000)
    reader.close()

    assert blob.startswith(read)
    assert len(read) >= RANGE


def test_closing_a_source_ends_its_readers(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    use: RegistrySettings,
) -> None:
    source: RegistrySource = open_source(registry, use=use)
    registry.does.cuts = deque([0] * 20)
    with closing(source.open_blob(wanted)) as reader:
        source.close()

        with pytest.raises(UnavailableError):
            read_all(reader)
    with pytest.raises(UnavailableError, match="was closed"):
        source.open_blob(wanted)


def test_closing_a_reader_ends_what_it_loads_ahead_from_a_silent_registry(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    settings: RegistrySettings,
) -> None:
    registry.does.stall = threading.Event()
    use = dataclasses.replace(settings, connections=3, range_bytes=RANGE)
    source = open_source(registry, use=use)
    reader = source.open_blob(wanted)
    wait_until(lambda: len(ranges(registry)) == 4, "three ranges are loaded ahead")

    reader.close()
    source.close()

    # The registry is silent still, and no timeout is near.
    wait_until(lambda: not loading_threads(), "the loading threads end")


def loading_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "snapfs-registry" in one.name]


def test_a_silent_registry_is_not_waited_for_without_end(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    settings: RegistrySettings,
) -> None:
    registry.does.stall = threading.Event()
    patience = Patience(2, 0.001, 0.001, read_timeout_s=0.05)
    use = dataclasses.replace(settings, patience=patience)
    reader = open_source(registry, use=use).open_blob(wanted)

    with pytest.raises(UnavailableError, match="stopped answering"):
        read_all(reader)


def test_too_many_requests_are_repeated_after_the_time_asked_for(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = recorded_waits(monkeypatch)
    registry.does.statuses, registry.does.retry_after = deque([429, 429]), "7"

    assert read_all(open_source(registry).open_blob(wanted)) == blob
    assert waits == [7.0, 7.0]


@pytest.mark.parametrize(
    "retry_after", ["3600", "Thu, 01 Jan 2099 00:00:00 GMT"], ids=["seconds", "date"]
)
def test_too_long_a_wait_is_an_error_at_once(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    retry_after: str,
) -> None:
    registry.does.statuses = deque([429] * 9)
    registry.does.retry_after = retry_after

    with pytest.raises(ResourceExhaustedError, match="too many requests"):
        open_source(registry).open_blob(wanted)

    assert len(registry.seen) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(429, ResourceExhaustedError), (503, UnavailableError)]
)
def test_after_all_repeats_the_refusal_is_reported(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    status: int,
    error: type[Exception],
) -> None:
    registry.does.statuses = deque([status] * 9)

    with pytest.raises(error, match="as the test wants"):
        open_source(registry).open_blob(wanted)

    assert len(registry.seen) == HASTY.attempts


def test_passing_faults_of_the_server_are_repeated(
    registry: HostileRegistry,
    open_source: OpenSource,
    wanted: Descriptor,
    blob: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = recorded_waits(monkeypatch)
    registry.does.statuses = deque([500, 502])

    assert read_all(open_source(registry).open_blob(wanted)) == blob
    assert len(waits) == 2
    assert 0.0005 <= waits[0] <= 0.001 <= waits[1] <= 0.002


def recorded_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    pause: Callable[..., None] = lambda _transport, wait_s: waits.append(wait_s)  # noqa: E731
    monkeypatch.setattr("snapfs.image.registry.transport.Transport.pause", pause)
    return waits
