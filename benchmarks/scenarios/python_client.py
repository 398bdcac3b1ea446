"""The load client where there is no Go: this project's own Python client."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from snapfs.benchmarks.protocols import InvalidResultError
from snapfs.benchmarks.scenarios.snapshot_calls import Answer, Call
from snapfs.errors import SnapfsError
from snapfs.model import Info, Kind, Mount
from snapfs.remote import RemoteSnapshotter
from snapfs.rpc import RpcClient, RpcError

_UNKNOWN_METHOD: Final = "/containerd.services.snapshots.v1.Snapshots/Nothing"
_UNIMPLEMENTED: Final = 12  # grpc/status.h
_UPDATED_LABEL: Final = "bench.updated"


class PythonClient:
    """A ``LoadClient`` in this process: its time is Python's, not containerd's."""

    def __init__(self, address: str) -> None:
        self._snapshotter = RemoteSnapshotter(address, name="bench")
        self._bare = RpcClient(address)
        remote = self._snapshotter
        self._actions: Mapping[str, Callable[[Call], object]] = MappingProxyType(
            {
                "noop": lambda _call: self._nothing(),
                "stat": lambda call: remote.stat(call.key),
                "mounts": lambda call: remote.mounts(call.key),
                "usage": lambda call: remote.usage(call.key),
                "list": lambda call: list(remote.walk([call.key] if call.key else [])),
                "prepare": lambda call: remote.prepare(
                    call.key, call.other, call.labels
                ),
                "view": lambda call: remote.view(call.key, call.other, call.labels),
                "commit": lambda call: remote.commit(call.other, call.key, call.labels),
                "update": lambda call: remote.update(
                    _labelled(call.key, call.other), [f"labels.{_UPDATED_LABEL}"]
                ),
                "remove": lambda call: remote.remove(call.key),
                "cleanup": lambda _call: remote.cleanup(),
            }
        )

    def run(self, calls: Sequence[Call], *, want: bool = False) -> Answer:
        """See :meth:`snapfs.benchmarks.scenarios.load_client.LoadClient.run`."""
        durations, results = [], []
        for call in calls:
            act = self._actions[call.op]
            begin = time.perf_counter_ns()
            try:
                result = act(call)
            except SnapfsError as error:
                raise InvalidResultError(
                    f"{call.op} {call.key!r} failed: {error}"
                ) from error
            durations.append(time.perf_counter_ns() - begin)
            if want:
                results.append(_shown(result))
        return Answer(durations, results)

    def processes(self) -> Sequence[int]:
        """See :meth:`snapfs.benchmarks.scenarios.load_client.LoadClient.processes`."""
        return ()

    def close(self) -> None:
        """See :meth:`snapfs.benchmarks.scenarios.load_client.LoadClient.close`."""
        self._snapshotter.close()
        self._bare.close()

    def _nothing(self) -> None:
        try:
            self._bare.call(_UNKNOWN_METHOD, b"")
        except RpcError as error:
            if error.code != _UNIMPLEMENTED:
                raise InvalidResultError(
                    f"an unknown method was answered with {error}"
                ) from error
        else:
            raise InvalidResultError("an unknown method was answered")


def _labelled(key: str, value: str) -> Info:
    return Info(key, "", Kind.ACTIVE, 0, 0, MappingProxyType({_UPDATED_LABEL: value}))


def _shown(result: object) -> Any:  # noqa: ANN401 - what the Go client's JSON holds
    """Return a result in the form in which the Go client's arrive."""
    if isinstance(result, Info):
        return {
            "name": result.name,
            "parent": result.parent,
            "kind": result.kind.name.capitalize(),
            "labels": dict(result.labels),
        }
    if isinstance(result, list):
        return [_shown_item(item) for item in result]
    return result


def _shown_item(item: object) -> object:
    if isinstance(item, Mount):
        return {"type": item.type, "source": item.source, "options": [*item.options]}
    return item.name if isinstance(item, Info) else item
