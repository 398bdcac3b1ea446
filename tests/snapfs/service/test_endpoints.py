"""The calls without a transport: bytes in, bytes out, every error a status."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pytest
from google.protobuf.message import Message

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.api import store_pb2 as store_pb
from snapfs.api.codes import Code
from snapfs.differ import Content, LayerOrder
from snapfs.errors import SnapfsError, UnimplementedError
from snapfs.model import Info, Mount
from snapfs.service.admin import store_endpoints
from snapfs.service.diff import diff_endpoints
from snapfs.service.dispatch import Endpoints
from snapfs.service.health import health_endpoints
from snapfs.service.log import Origin
from snapfs.service.servicer import batches, snapshots_endpoints
from snapfs.service.status import StatusError
from snapfs.stopping import Stop
from support.memory_store import MemoryStore

DIFF = methods.DIFF_SERVICE

# Field 1 announces more bytes than there are.
UNREADABLE = b"\x0a\xff"


class BrokenStore(MemoryStore):
    """Every call that is made here raises what the test wants."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def stat(self, key: str) -> Info:
        raise self._error

    def remove(self, key: str) -> None:
        raise self._error

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        yield Info("first")
        raise self._error


class NoDiffer:
    """Does nothing, and says so."""

    def apply(
        self,
        content: Content,
        mounts: Sequence[Mount],
        namespace: str,
        *,
        is_synced: bool,
        stop: Stop,
    ) -> Content:
        raise UnimplementedError(f"{content} {mounts} {namespace} {is_synced} {stop}")

    def diff(
        self,
        before: Sequence[Mount],
        after: Sequence[Mount],
        order: LayerOrder,
        *,
        stop: Stop,
    ) -> Content:
        raise UnimplementedError(f"{before} {after} {order} {stop}")


TESTSUITE = Origin("testsuite", "pid 7, uid 0")


class Calls:
    """Makes calls as a transport does."""

    def __init__(self, store: MemoryStore) -> None:
        self.endpoints: Endpoints = (
            snapshots_endpoints(store)
            | store_endpoints(store)
            | diff_endpoints(NoDiffer())
            | health_endpoints([methods.SNAPSHOTS_SERVICE])
        )

    def __call__(
        self,
        method: methods.Method[methods.RequestT, methods.ResponseT],
        request: methods.RequestT,
    ) -> methods.ResponseT:
        raw = self.endpoints.unary[method.path](
            request.SerializeToString(), lambda: TESTSUITE
        )
        return method.response.FromString(raw)

    def stream(
        self,
        method: methods.Method[methods.RequestT, methods.ResponseT],
        request: methods.RequestT,
    ) -> Iterator[methods.ResponseT]:
        for raw in self.endpoints.streams[method.path](
            request.SerializeToString(), lambda: TESTSUITE
        ):
            assert raw is not None
            yield method.response.FromString(raw)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def calls(store: MemoryStore) -> Calls:
    return Calls(store)


def test_every_method_of_the_table_is_offered(calls: Calls) -> None:
    table = [row for row in vars(methods).values() if isinstance(row, methods.Method)]

    # Those of the differ take long: a stream of one response, the same on the wire.
    streamed = {row.path for row in table if row.streams or row.service == DIFF}
    assert set(calls.endpoints.streams) == streamed
    assert set(calls.endpoints.unary) == {row.path for row in table} - streamed


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        pytest.param(methods.STAT, pb.StatSnapshotRequest(key="a"), id="stat"),
        pytest.param(methods.MOUNTS, pb.MountsRequest(key="a"), id="mounts"),
        pytest.param(methods.USAGE, pb.UsageRequest(key="a"), id="usage"),
        pytest.param(methods.REMOVE, pb.RemoveSnapshotRequest(key="a"), id="remove"),
        pytest.param(
            methods.COMMIT, pb.CommitSnapshotRequest(name="b", key="a"), id="commit"
        ),
        pytest.param(
            methods.PREPARE,
            pb.PrepareSnapshotRequest(key="b", parent="a"),
            id="prepare",
        ),
        pytest.param(
            methods.VIEW, pb.ViewSnapshotRequest(key="b", parent="a"), id="view"
        ),
        pytest.param(
            methods.UPDATE,
            pb.UpdateSnapshotRequest(info=pb.Info(name="a")),
            id="update",
        ),
        pytest.param(methods.DETAILS, store_pb.DetailsRequest(key="a"), id="details"),
        pytest.param(
            methods.BROWSE_MOUNTS, store_pb.BrowseMountsRequest(key="a"), id="browse"
        ),
        pytest.param(
            methods.FORCE_REMOVE, store_pb.ForceRemoveRequest(key="a"), id="force"
        ),
    ],
)
def test_unknown_key_is_not_found_in_every_call(
    calls: Calls, method: methods.Method[Message, Message], request_: Message
) -> None:
    with pytest.raises(StatusError) as caught:
        calls(method, request_)

    assert caught.value.code is Code.NOT_FOUND
    assert caught.value.message == "snapshot 'a' does not exist: not found"


def test_update_without_an_info_is_an_invalid_argument(calls: Calls) -> None:
    with pytest.raises(StatusError, match="needs an info") as caught:
        calls(methods.UPDATE, pb.UpdateSnapshotRequest())

    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("has_mask", [False, True])
def test_update_without_paths_replaces_all_labels(
    calls: Calls, store: MemoryStore, has_mask: bool
) -> None:
    store.prepare("a", labels={"old": "1"})
    request = pb.UpdateSnapshotRequest(info=pb.Info(name="a", labels={"new": "2"}))
    if has_mask:
        request.update_mask.SetInParent()

    response = calls(methods.UPDATE, request)

    assert dict(response.info.labels) == {"new": "2"}
    assert store.stat("a").labels == {"new": "2"}


def test_bad_filter_is_an_invalid_argument(calls: Calls) -> None:
    with pytest.raises(StatusError) as caught:
        next(calls.stream(methods.LIST, pb.ListSnapshotsRequest(filters=["name=="])))

    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.message.endswith(": invalid argument")


def test_list_comes_in_batches_of_a_hundred(calls: Calls, store: MemoryStore) -> None:
    for number in range(250):
        store.prepare(f"key {number}")

    sizes = [
        len(response.info)
        for response in calls.stream(methods.LIST, pb.ListSnapshotsRequest())
    ]

    assert sizes == [100, 100, 50]


def test_empty_store_lists_nothing(calls: Calls) -> None:
    assert list(calls.stream(methods.LIST, pb.ListSnapshotsRequest())) == []


def test_batch_of_large_snapshots_ends_before_a_message_is_full() -> None:
    labels = {f"label {number}": "v" * 4000 for number in range(300)}
    large = [pb.Info(name=str(number), labels=labels) for number in range(40)]

    sent = [pb.ListSnapshotsResponse(info=batch) for batch in batches(large)]

    assert sum(len(response.info) for response in sent) == 40
    assert max(response.ByteSize() for response in sent) < methods.MAX_MESSAGE_BYTES
    assert len(sent) < 40


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(row.path, id=row.name)
        for row in vars(methods).values()
        if isinstance(row, methods.Method)
    ],
)
def test_unreadable_request_is_refused_by_every_call(calls: Calls, path: str) -> None:
    def call() -> object:
        if path in calls.endpoints.unary:
            return calls.endpoints.unary[path](UNREADABLE, Origin)
        return list(calls.endpoints.streams[path](UNREADABLE, Origin))

    with pytest.raises(StatusError, match="cannot be read") as caught:
        call()

    is_removal = path == methods.REMOVE.path
    assert caught.value.code is (
        Code.FAILED_PRECONDITION if is_removal else Code.INVALID_ARGUMENT
    )


def test_unexpected_error_is_one_line_to_the_client_and_a_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls(BrokenStore(ZeroDivisionError("first\nsecond")))

    with pytest.raises(StatusError) as caught:
        calls(methods.STAT, pb.StatSnapshotRequest(key="a"))

    assert caught.value.code is Code.INTERNAL
    assert caught.value.message == (
        "unexpected ZeroDivisionError: first second: internal"
    )
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert caplog.text.count("Traceback") == 1
    assert "raise self._error" in caplog.text
    assert vars(record)["method"] == methods.STAT.path
    assert vars(record)["key"] == "a"
    assert vars(record)["namespace"] == "testsuite"


@pytest.mark.parametrize(
    ("error", "true_code", "level"),
    [
        pytest.param(RuntimeError("odd"), "INTERNAL", logging.ERROR, id="unexpected"),
        pytest.param(SnapfsError("on purpose"), "INTERNAL", logging.ERROR, id="ours"),
        pytest.param(
            OSError(28, "No space"), "RESOURCE_EXHAUSTED", logging.WARNING, id="ENOSPC"
        ),
    ],
)
def test_remove_hides_any_other_error_but_logs_it(
    caplog: pytest.LogCaptureFixture, error: Exception, true_code: str, level: int
) -> None:
    calls = Calls(BrokenStore(error))

    with pytest.raises(StatusError, match="cannot remove now") as caught:
        calls(methods.REMOVE, pb.RemoveSnapshotRequest(key="a"))

    assert caught.value.code is Code.FAILED_PRECONDITION
    (record,) = caplog.records
    assert record.levelno == level
    assert vars(record)["code"] == true_code


def test_error_in_the_middle_of_a_list_ends_it_with_a_status() -> None:
    calls = Calls(BrokenStore(OSError(5, "Input/output error", "/store")))

    with pytest.raises(StatusError, match="/store: Input/output error") as caught:
        list(calls.stream(methods.LIST, pb.ListSnapshotsRequest()))

    assert caught.value.code is Code.INTERNAL


def test_closing_a_list_closes_the_walk() -> None:
    closed = []

    class EndlessStore(MemoryStore):
        def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
            try:
                while True:
                    yield Info("again")
            finally:
                closed.append(True)

    listing = snapshots_endpoints(EndlessStore()).streams[methods.LIST.path](
        b"", Origin
    )
    next(listing)

    del listing

    assert closed == [True]


def test_fine_calls_are_logged_for_debugging_only(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "snapfs.service")
    calls(methods.PREPARE, pb.PrepareSnapshotRequest(key="a"))
    list(calls.stream(methods.LIST, pb.ListSnapshotsRequest()))

    assert [record.levelno for record in caplog.records] == [logging.DEBUG] * 2
    assert [vars(record)["code"] for record in caplog.records] == ["OK"] * 2
    caplog.set_level(logging.INFO, "snapfs.service")
    caplog.clear()
    calls(methods.CLEANUP, pb.CleanupRequest())
    assert caplog.records == []


def test_update_is_logged_with_the_name_in_its_info(
    calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "snapfs.service")

    with pytest.raises(StatusError):
        calls(methods.UPDATE, pb.UpdateSnapshotRequest(info=pb.Info(name="gone")))

    (record,) = caplog.records
    assert vars(record)["key"] == "gone"


def test_info_is_set_in_every_response_that_has_one(
    calls: Calls, store: MemoryStore
) -> None:
    store.prepare("a")

    stat = calls(methods.STAT, pb.StatSnapshotRequest(key="a"))
    update = calls(methods.UPDATE, pb.UpdateSnapshotRequest(info=pb.Info(name="a")))

    assert stat.HasField("info")
    assert update.HasField("info")
