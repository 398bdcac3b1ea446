"""Layers that the store has already, on other layers: their content is shared.

What a layer looks like on disk depends on its tar, on the policy, and on the
attributes that its implied directories take from the layers below. A committed
snapshot says all three in its labels. A layer that holds copies of lower files is
never shared.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Final

import msgspec

from snapfs.digest import Digest
from snapfs.layer.index_cache import IndexCache
from snapfs.layer.limits import Policy
from snapfs.layer.lower_needs import LowerNeeds, needs_of_index
from snapfs.model import Kind, SnapshotDetails
from snapfs.snapshotter import Store
from snapfs.unpack.chain import Chain

DIFF_ID_LABEL: Final = "snapfs.io/diff-id"
CONTENT_LABEL: Final = "snapfs.io/content-key"
POLICY_LABEL: Final = "snapfs.io/unpack-policy"


def policy_key(policy: Policy) -> str:
    """Return the label of what was unpacked by ``policy``.

    Clamping is left out: it decides whether a layer is refused, not what it is.
    """
    text = msgspec.json.encode(dataclasses.replace(policy, clamp=False))
    return hashlib.sha256(text).hexdigest()[:16]


def content_key(policy: Policy, implied_key: str) -> str:
    """Return the label by which two layers of one diff ID are equal on disk."""
    text = f"{policy_key(policy)} {implied_key}"
    return hashlib.sha256(text.encode()).hexdigest()


class SharedLayers:
    """Finds snapshots whose content a new layer can share."""

    def __init__(self, store: Store, cache: IndexCache, policy: Policy) -> None:
        self._store = store
        self._cache = cache
        self._policy = policy

    def candidates(self, diff_id: Digest) -> list[SnapshotDetails]:
        """Return the committed snapshots that may be equal to the layer."""
        found = self._store.list_details([f'labels."{DIFF_ID_LABEL}"=={diff_id}'])
        return [
            details
            for details in found
            if details.info.kind is Kind.COMMITTED
            and CONTENT_LABEL in details.info.labels
        ]

    def needs(self, diff_id: Digest) -> LowerNeeds | None:
        """Return what the layer takes from lower ones, if its index is still there."""
        index = self._cache.load(diff_id)
        if index is None or (index.is_clamped and not self._policy.clamp):
            return None
        return needs_of_index(index)

    def match(
        self, candidates: list[SnapshotDetails], needs: LowerNeeds, chain: Chain
    ) -> SnapshotDetails | None:
        """Return the candidate that is what the layer would be on ``chain``.

        None that is in the chain already: overlayfs does not mount that.
        """
        key = chain.key(needs)
        if key is None:
            return None
        wanted = content_key(self._policy, key)
        for details in candidates:
            if (
                details.info.labels[CONTENT_LABEL] == wanted
                and details.content not in chain
            ):
                return details
        return None
