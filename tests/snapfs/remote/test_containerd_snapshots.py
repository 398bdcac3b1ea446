"""What containerd knows, also while it has lost its snapshotter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from snapfs.api import namespaces_pb2, snapshots_pb2
from snapfs.api.codes import Code
from snapfs.api.containerd_methods import LIST_NAMESPACES
from snapfs.api.methods import LIST
from snapfs.errors import SnapfsError, UnavailableError
from snapfs.remote import containerd_snapshots
from snapfs.remote.containerd_snapshots import known_snapshots
from snapfs.rpc.calls import CallContext
from snapfs.rpc.status import RpcError
from support.rpc import serving

# As containerd 1.6 and 2.x say it while the service is restarted.
LOST = 'connection error: desc = "transport: Error while dialing: timeout": unavailable'


@contextlib.contextmanager
def containerd(directory: Path, failures: Iterator[RpcError]) -> Iterator[str]:
    """Serve one snapshot of one namespace, after each of ``failures``."""

    def namespaces(_request: bytes, _context: CallContext) -> bytes:
        named = namespaces_pb2.Namespace(name="k8s.io")
        return namespaces_pb2.ListNamespacesResponse(
            namespaces=[named]
        ).SerializeToString()

    def snapshots(_request: bytes, _context: CallContext) -> Iterator[bytes]:
        for failure in failures:
            raise failure
        info = snapshots_pb2.Info(name="known")
        yield snapshots_pb2.ListSnapshotsResponse(info=[info]).SerializeToString()

    path = directory / "c.sock"
    unary = {LIST_NAMESPACES.path: namespaces}
    with serving(path, unary, {LIST.path: snapshots}):
        yield str(path)


@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.UNAVAILABLE])
def test_containerd_is_asked_again_until_it_reaches_its_snapshotter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    monkeypatch.setattr(containerd_snapshots, "_AGAIN_S", 0.0)
    failures = iter([RpcError(code, LOST), RpcError(code, LOST)])

    with containerd(tmp_path, failures) as socket:
        known = known_snapshots(socket, "snapfs")

    assert known == {("k8s.io", "known")}
    assert next(failures, None) is None


def test_one_that_never_does_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerd_snapshots, "_RECONNECT_S", 0.0)
    failures = iter([RpcError(Code.UNKNOWN, LOST)])

    with (
        containerd(tmp_path, failures) as socket,
        pytest.raises(
            UnavailableError, match="does not reach its snapshotter 'snapfs'"
        ),
    ):
        known_snapshots(socket, "snapfs")


def test_other_failures_are_not_repeated(tmp_path: Path) -> None:
    failures = iter([RpcError(Code.INTERNAL, "no"), RpcError(Code.INTERNAL, "twice")])

    with (
        containerd(tmp_path, failures) as socket,
        pytest.raises(SnapfsError, match="no"),
    ):
        known_snapshots(socket, "snapfs")

    assert next(failures, None) is not None
