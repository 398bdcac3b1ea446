"""The server on real sockets, called by a client that is not ours."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from snapfs.api import methods
from snapfs.api import snapshots_pb2 as pb
from snapfs.api import store_pb2 as store_pb
from snapfs.api.codes import Code
from snapfs.errors import FailedPreconditionError, InvalidArgumentError
from snapfs.model import Info
from snapfs.service.server import Listener, Server
from support.memory_store import MemoryStore
from support.memory_view import ContainerdView
from support.served import GRACE_S, RawClient, code_of, served


class SlowStore(MemoryStore):
    """Stat waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.proceed = threading.Event()

    def stat(self, key: str) -> Info:
        self.entered.set()
        assert self.proceed.wait(GRACE_S)
        return super().stat(key)


class EndlessStore(MemoryStore):
    """A walk has no end; it says when it is given up."""

    def __init__(self) -> None:
        super().__init__()
        self.started = threading.Semaphore(0)
        self.closed = threading.Event()

    def walk(self, filters: Sequence[str] = ()) -> Iterator[Info]:
        self.started.release()
        try:
            while True:
                yield Info("k" * 1000)
        finally:
            self.closed.set()


def filled(count: int) -> MemoryStore:
    store = MemoryStore()
    for number in range(count):
        store.prepare(f"key {number}", labels={"containerd.io/gc.root": "now"})
    return store


def names(call: grpc.Call) -> list[str]:
    return [info.name for response in call for info in response.info]


def first_refusal(client: RawClient) -> Code:
    """Call until the server refuses; return how."""
    while True:
        try:
            client.call(methods.CLEANUP, pb.CleanupRequest())
        except grpc.RpcError as error:
            return code_of(error)


def test_socket_is_there_while_it_serves_with_mode_0600(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address:
        mode = os.lstat(address).st_mode
        left = os.listdir(tmp_path)

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert left == ["s.sock"]
    assert os.listdir(tmp_path) == []


def test_another_mode_can_be_asked_for(tmp_path: Path) -> None:
    listener = Listener(str(tmp_path / "s"), MemoryStore(), mode=0o660)
    server = Server([listener])

    server.start()
    mode = os.lstat(listener.address).st_mode
    server.stop(GRACE_S)

    assert stat.S_IMODE(mode) == 0o660


def test_each_listener_serves_its_own_view(tmp_path: Path) -> None:
    store = MemoryStore()
    store.prepare("of the command line")
    server = Server(
        [
            Listener(str(tmp_path / "containerd"), ContainerdView(store)),
            Listener(str(tmp_path / "local"), store, store),
        ]
    )
    server.start()

    try:
        with (
            RawClient(str(tmp_path / "containerd")) as containerd,
            RawClient(str(tmp_path / "local")) as local,
        ):
            containerd.call(methods.PREPARE, pb.PrepareSnapshotRequest(key="a"))
            seen = names(containerd.stream(methods.LIST, pb.ListSnapshotsRequest()))
            all_ = names(local.stream(methods.LIST, pb.ListSnapshotsRequest()))
            status = local.call(methods.STATUS, store_pb.StatusRequest())
            with pytest.raises(grpc.RpcError) as caught:
                containerd.call(methods.STATUS, store_pb.StatusRequest())
    finally:
        server.stop(GRACE_S)

    assert seen == ["a"]
    assert all_ == ["of the command line", "a"]
    assert status.snapshots == 2
    assert code_of(caught.value) is Code.UNIMPLEMENTED


def test_status_and_text_reach_the_client(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.call(methods.STAT, pb.StatSnapshotRequest(key="ü\n"))

        assert code_of(caught.value) is Code.NOT_FOUND
        assert caught.value.details() == "snapshot 'ü\\n' does not exist: not found"


def test_key_of_a_megabyte_still_gives_its_status(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.call(methods.REMOVE, pb.RemoveSnapshotRequest(key="ü" * 2**19))

        assert code_of(caught.value) is Code.NOT_FOUND
        assert caught.value.details().endswith("does not exist: not found")


def test_namespace_of_the_caller_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "snapfs.service")
    with (
        served(tmp_path, MemoryStore()) as address,
        RawClient(address) as client,
        pytest.raises(grpc.RpcError),
    ):
        client.call(methods.STAT, pb.StatSnapshotRequest(key="a"), "k8s.io")

    (record,) = [r for r in caplog.records if r.name == "snapfs.service"]
    assert vars(record)["namespace"] == "k8s.io"


def test_unreadable_bytes_are_refused_and_the_server_lives_on(tmp_path: Path) -> None:
    with served(tmp_path, filled(1)) as address, RawClient(address) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.bytes_call(methods.STAT.path, b"\x0a\xff")

        assert code_of(caught.value) is Code.INVALID_ARGUMENT
        client.call(methods.STAT, pb.StatSnapshotRequest(key="key 0"))


def test_unknown_method_is_unimplemented(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.bytes_call(f"/{methods.SNAPSHOTS_SERVICE}/Freeze", b"")

        assert code_of(caught.value) is Code.UNIMPLEMENTED


def test_garbage_instead_of_http_does_not_harm_the_server(tmp_path: Path) -> None:
    with served(tmp_path, filled(1)) as address, RawClient(address) as client:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(address)
            stranger.sendall(b"GET / HTTP/1.0\r\n\r\n" * 100)
            stranger.settimeout(GRACE_S)
            while stranger.recv(4096):
                pass  # until the server hangs up

        client.call(methods.STAT, pb.StatSnapshotRequest(key="key 0"))


def test_stat_during_list_on_one_connection(tmp_path: Path) -> None:
    with (
        served(tmp_path, filled(1000), workers=1) as address,
        RawClient(address) as client,
    ):
        listing = client.stream(methods.LIST, pb.ListSnapshotsRequest())
        for response in listing:
            for info in response.info:
                stat_ = client.call(methods.STAT, pb.StatSnapshotRequest(key=info.name))
                assert stat_.info == info


def test_readers_that_stop_reading_leave_threads_for_other_calls(
    tmp_path: Path,
) -> None:
    store = EndlessStore()
    store.prepare("a")
    with served(tmp_path, store, workers=2) as address, RawClient(address) as client:
        listings = [
            client.stream(methods.LIST, pb.ListSnapshotsRequest()) for _ in range(4)
        ]
        for _ in range(2):  # both threads for streams have work
            assert store.started.acquire(timeout=GRACE_S)

        client.call(methods.STAT, pb.StatSnapshotRequest(key="a"))

        for listing in listings:
            listing.cancel()


def test_list_that_the_client_gives_up_is_stopped(tmp_path: Path) -> None:
    store = EndlessStore()
    with served(tmp_path, store) as address, RawClient(address) as client:
        listing = client.stream(methods.LIST, pb.ListSnapshotsRequest())
        next(listing)

        listing.cancel()

        assert store.closed.wait(GRACE_S)


def test_list_of_a_client_that_dies_is_stopped(tmp_path: Path) -> None:
    store = EndlessStore()
    with served(tmp_path, store) as address:
        with RawClient(address) as client:
            next(client.stream(methods.LIST, pb.ListSnapshotsRequest()))

        assert store.closed.wait(GRACE_S)


def test_ten_thousand_snapshots_are_listed(tmp_path: Path) -> None:
    with served(tmp_path, filled(10_000)) as address, RawClient(address) as client:
        listed = names(client.stream(methods.LIST, pb.ListSnapshotsRequest()))

    assert listed == [f"key {number}" for number in range(10_000)]


def test_fifty_threads_call_at_once(tmp_path: Path) -> None:
    store = MemoryStore()
    store.prepare("base-key")
    store.commit("base", "base-key")

    def life_of_a_snapshot(client: RawClient, number: int) -> None:
        key, name = f"key {number}", f"name {number}"
        client.call(methods.PREPARE, pb.PrepareSnapshotRequest(key=key, parent="base"))
        client.call(methods.COMMIT, pb.CommitSnapshotRequest(name=name, key=key))
        stat_ = client.call(methods.STAT, pb.StatSnapshotRequest(key=name))
        assert stat_.info.parent == "base"
        assert name in names(client.stream(methods.LIST, pb.ListSnapshotsRequest()))
        client.call(methods.REMOVE, pb.RemoveSnapshotRequest(key=name))

    with (
        served(tmp_path, store) as address,
        RawClient(address) as client,
        ThreadPoolExecutor(50) as threads,
    ):
        for _ in threads.map(
            lambda number: life_of_a_snapshot(client, number), range(200)
        ):
            pass

    assert [info.name for info in store.walk()] == ["base"]


def test_messages_of_almost_sixteen_mebibytes_pass_both_ways(tmp_path: Path) -> None:
    # 4,095 labels of 4,096 bytes each, as long as a label may be.
    labels = {f"label {number:04}": "v" * 4086 for number in range(4080)}
    request = pb.PrepareSnapshotRequest(key="a", labels=labels)
    assert 15.9 * 2**20 < request.ByteSize() < 2**24

    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        client.call(methods.PREPARE, request)
        response = client.call(methods.STAT, pb.StatSnapshotRequest(key="a"))

    assert dict(response.info.labels) == labels


def test_larger_messages_are_refused_and_the_server_lives_on(tmp_path: Path) -> None:
    with served(tmp_path, MemoryStore()) as address, RawClient(address) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client.call(methods.STAT, pb.StatSnapshotRequest(key="k" * (2**24 + 1)))

        assert code_of(caught.value) is Code.RESOURCE_EXHAUSTED
        client.call(methods.CLEANUP, pb.CleanupRequest())


def test_stop_lets_a_call_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    store = SlowStore()
    store.prepare("a")
    address = str(tmp_path / "s")
    server = Server([Listener(address, store)])
    server.start()
    with RawClient(address) as client, ThreadPoolExecutor(2) as threads:
        running = threads.submit(
            client.call, methods.STAT, pb.StatSnapshotRequest(key="a")
        )
        assert store.entered.wait(GRACE_S)

        stopping = threads.submit(server.stop, GRACE_S)
        refusal = first_refusal(client)
        was_stopping = not stopping.done()
        store.proceed.set()

        # Cancelled: the call was on its way when the server began to stop.
        assert refusal in (Code.UNAVAILABLE, Code.CANCELLED)
        assert was_stopping
        assert running.result(GRACE_S).info.name == "a"
        assert stopping.result(GRACE_S) is True
    assert os.listdir(tmp_path) == []


def test_stop_gives_up_a_call_that_outlasts_the_grace(tmp_path: Path) -> None:
    store = SlowStore()
    store.prepare("a")
    address = str(tmp_path / "s")
    server = Server([Listener(address, store)])
    server.start()
    with RawClient(address) as client, ThreadPoolExecutor(1) as threads:
        running = threads.submit(
            client.call, methods.STAT, pb.StatSnapshotRequest(key="a")
        )
        assert store.entered.wait(GRACE_S)

        drained = server.stop(0)

        assert drained is False
        assert code_of(running.exception(GRACE_S)) in (
            Code.CANCELLED,
            Code.UNAVAILABLE,
        )
        assert os.listdir(tmp_path) == []
        store.proceed.set()
        assert server.stop(GRACE_S) is True


def test_wait_returns_when_the_server_has_stopped(tmp_path: Path) -> None:
    server = Server([Listener(str(tmp_path / "s"), MemoryStore())])
    server.start()
    assert server.wait(0) is False

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(server.wait, GRACE_S)
        server.stop(GRACE_S)

        assert waiting.result(GRACE_S) is True


def test_second_server_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with served(tmp_path, filled(1)) as address:
        with pytest.raises(FailedPreconditionError, match="another process"):
            Server([Listener(address, MemoryStore())]).start()

        with RawClient(address) as client:
            client.call(methods.STAT, pb.StatSnapshotRequest(key="key 0"))


def test_failed_start_leaves_no_socket_of_any_listener(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"precious")
    server = Server(
        [
            Listener(str(tmp_path / "free"), MemoryStore()),
            Listener(str(tmp_path / "taken"), MemoryStore()),
        ]
    )

    with pytest.raises(FailedPreconditionError, match="not a socket"):
        server.start()

    assert os.listdir(tmp_path) == ["taken"]
    assert (tmp_path / "taken").read_bytes() == b"precious"


def test_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s.sock"))
        dead.listen()

    with served(tmp_path, filled(1)) as address, RawClient(address) as client:
        client.call(methods.STAT, pb.StatSnapshotRequest(key="key 0"))


def test_too_long_a_path_is_refused_unless_our_client_alone_uses_it(
    tmp_path: Path,
) -> None:
    address = str(tmp_path / ("d" * 100) / "s")
    with pytest.raises(InvalidArgumentError, match="107"):
        Server([Listener(address, MemoryStore())]).start()
    server = Server([Listener(address, MemoryStore(), allow_long_path=True)])

    server.start()
    is_socket = stat.S_ISSOCK(os.lstat(address).st_mode)
    server.stop(GRACE_S)

    assert is_socket
    assert os.listdir(os.path.dirname(address)) == []


def test_stopped_server_leaves_no_thread(tmp_path: Path) -> None:
    with served(tmp_path, filled(200)) as address, RawClient(address) as client:
        client.call(methods.CLEANUP, pb.CleanupRequest())
        names(client.stream(methods.LIST, pb.ListSnapshotsRequest()))

    left = [t.name for t in threading.enumerate() if t.name.startswith("snapfs-")]
    assert left == []


@pytest.mark.root
def test_a_group_gets_a_socket_for_its_members(tmp_path: Path) -> None:
    address = str(tmp_path / "s.sock")
    server = Server([Listener(address, MemoryStore(), mode=0o660, group=4242)])
    server.start()

    status = os.stat(address)
    server.stop(GRACE_S)

    assert stat.S_IMODE(status.st_mode) == 0o660
    assert status.st_gid == 4242


def test_a_socket_of_another_goes_on_to_listen_after_us(tmp_path: Path) -> None:
    address = str(tmp_path / "s.sock")
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(address)
        owner.listen()
        server = Server([Listener(address, filled(1), sock=owner.dup())])
        server.start()
        with RawClient(address) as client:
            info = client.call(methods.STAT, pb.StatSnapshotRequest(key="key 0")).info
        server.stop(GRACE_S)

        with socket.socket(socket.AF_UNIX) as next_client:
            next_client.connect(address)
            owner.settimeout(GRACE_S)
            owner.accept()[0].close()

    assert info.name == "key 0"
    assert os.path.exists(address)
