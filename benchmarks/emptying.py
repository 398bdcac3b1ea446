"""Emptying a snapshotter through its API."""

from __future__ import annotations

from snapfs.benchmarks.values import InvalidResultError
from snapfs.snapshotter import Snapshotter


def remove_all(client: Snapshotter) -> None:
    """Remove every snapshot there is, children first.

    Raises:
        InvalidResultError: What is said of parents cannot be.
    """
    left = {info.name: info.parent for info in client.walk()}
    while left:
        leaves = left.keys() - set(left.values())
        if not leaves:
            raise InvalidResultError("the parents of snapshots form a circle")
        for name in leaves:
            client.remove(name)
            del left[name]
