"""Infos as the bytes in which they are sent, kept as long as they are the same.

The store gives the same ``Info`` object until a snapshot changes, and most never do:
List is asked again and again for what it has told before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from snapfs.api import convert
from snapfs.api import snapshots_pb2 as pb
from snapfs.model import Info

# Most infos take a few hundred bytes: a few MiB.
_MAX_KEPT: Final = 16384
_MAX_KEPT_BYTES: Final = 4096


class EncodedInfos:
    """Encodes infos, each one once; any thread may ask.

    What is encoded is a whole ``StatSnapshotResponse``. ``info`` is field 1 there, in
    ``UpdateSnapshotResponse`` and, repeated, in ``ListSnapshotsResponse``, and messages
    are merged by joining their bytes (protobuf.dev, Encoding, "Last One Wins"):
    any number of them, one behind the other, are the response of List.
    """

    def __init__(self) -> None:
        # Single operations on a dict are atomic. An entry holds on to its info, so
        # that no other object can be the same one.
        self._kept: dict[str, tuple[Info, bytes]] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._kept)

    def response(self, info: Info) -> bytes:
        """Return the encoded response that has this one info."""
        kept = self._kept.get(info.name)
        if kept is not None and kept[0] is info:
            return kept[1]
        message = pb.StatSnapshotResponse(info=convert.info_to_proto(info))
        encoded = message.SerializeToString()
        if len(encoded) <= _MAX_KEPT_BYTES:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[info.name] = info, encoded
        return encoded

    def forget(self, name: str) -> None:
        """Drop a snapshot that is gone."""
        self._kept.pop(name, None)

    def forget_others(self, names: Collection[str]) -> None:
        """Drop every snapshot but these: others are gone, by whatever way."""
        for name in self._kept.copy():
            if name not in names:
                self.forget(name)
