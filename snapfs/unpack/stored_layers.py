"""Which layer each committed snapshot of a store is, and by which options."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from snapfs.digest import Digest, sha256
from snapfs.errors import SnapfsError
from snapfs.layer.limits import DevicePolicy, Policy, SetuidPolicy
from snapfs.model import Kind, SnapshotDetails
from snapfs.unpack.sharing import DIFF_ID_LABEL, POLICY_LABEL, policy_key

_POLICIES: Final = {
    policy_key(policy): policy
    for policy in (
        Policy(devices=devices, setuid=setuid, keep_owners=keep_owners)
        for devices, setuid, keep_owners in itertools.product(
            DevicePolicy, SetuidPolicy, (True, False)
        )
    )
}
"""By their labels all policies but those with other extended attributes."""


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A committed snapshot whose layer is known.

    Attributes:
        details: The snapshot.
        diff_id: Of its layer.
        below: The diff IDs of the layers below it, the lowest first; None stands for
            one that is not known.
        policy: By which it was unpacked; None if that is not known.
        renewed_by: By which damaged names of it can be made anew; None if that would
            make them other than they were.
    """

    details: SnapshotDetails
    diff_id: Digest
    below: tuple[Digest | None, ...]
    policy: Policy | None
    renewed_by: Policy | None


def stored_layers(
    details: Iterable[SnapshotDetails],
    known: Collection[Digest],
    unpacked: Collection[Digest] = (),
) -> Iterator[StoredLayer]:
    """Yield each committed layer that can be told, once where several share it.

    ``known`` are the layers that come into question, ``unpacked`` those of which this
    store has read the tar: what containerd has of them was unpacked by snapfs.

    Whoever unpacks by snapfs's own command says so in a label. containerd names a
    snapshot by the chain ID of its layers: then the layer is the one of ``known``
    that makes this chain ID of the one below.
    """
    by_name = {
        each.info.name: each for each in details if each.info.kind is Kind.COMMITTED
    }
    diff_ids = {name: _diff_id(each, known) for name, each in by_name.items()}
    seen = set()
    for name, each in by_name.items():
        diff_id = diff_ids[name]
        if diff_id is None or each.content in seen:
            continue
        seen.add(each.content)
        below = _below(each, by_name, diff_ids)
        label = each.info.labels.get(POLICY_LABEL)
        if label is not None:
            policy = renewed_by = _POLICIES.get(label)
        else:  # containerd's: by our differ or its own, which keep the same
            policy = Policy() if diff_id in unpacked else None
            renewed_by = Policy()
        yield StoredLayer(each, diff_id, below, policy, renewed_by)


def _below(
    details: SnapshotDetails,
    by_name: Mapping[str, SnapshotDetails],
    diff_ids: Mapping[str, Digest | None],
) -> tuple[Digest | None, ...]:
    found: list[Digest | None] = []
    parent = details.info.parent
    while parent:
        found.append(diff_ids.get(parent))
        above = by_name.get(parent)
        parent = above.info.parent if above is not None else ""
    return tuple(reversed(found))


def _diff_id(details: SnapshotDetails, known: Collection[Digest]) -> Digest | None:
    info = details.info
    if DIFF_ID_LABEL in info.labels:
        return _digest(info.labels[DIFF_ID_LABEL])
    chain_id = _chain_id(info.name)
    if chain_id is None:
        return None
    if not info.parent:
        return chain_id
    below = _chain_id(info.parent)
    for diff_id in known if below is not None else ():
        if sha256(f"{below} {diff_id}".encode()) == chain_id:
            return diff_id
    return None


def _chain_id(name: str) -> Digest | None:
    """Return the chain ID that a name is; containerd puts ``NAMESPACE/N/`` before."""
    return _digest(name.rpartition("/")[2])


def _digest(text: str) -> Digest | None:
    with contextlib.suppress(SnapfsError):
        return Digest(text)
    return None
