"""The config of an exported image (image-spec, config.md).

What the image was made from decides how containers start; layers and history are what
is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from snapfs.digest import Digest
from snapfs.image.config import ImageConfig, parse_config
from snapfs.image.platform import host_platform

_SECOND_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Step:
    """What made one layer.

    Attributes:
        created_ns: When, in ns since the epoch; None where that is not known.
        created_by: What, for people.
    """

    created_ns: int | None
    created_by: str


def encode_config(
    diff_ids: Sequence[Digest],
    steps: Sequence[Step],
    base: bytes | None,
    latest_s: int | None,
    *,
    has_base_layers: bool = True,
) -> bytes:
    """Return the config of an image, the same bytes each time.

    Args:
        diff_ids: Of its layers, lowest first.
        steps: What made each of them.
        base: The config of the image that this one is made from; what it says of
            anything but layers holds for this image too. None where there is none:
            then it is for this machine, and says nothing of how containers start.
        has_base_layers: The layers begin with those of ``base``, whose history holds
            for them.
        latest_s: No time is after this one, in seconds since the epoch.

    Raises:
        DataLossError: ``base`` is no image config.
    """
    document: dict[str, object]
    history: list[object] = []
    if base is None:
        document = _of_this_machine()
    else:
        known = parse_config(base, "the image's config")
        document = msgspec.json.decode(base, type=dict[str, object])
        if has_base_layers:
            history = _base_history(known, document.get("history"))
            steps = steps[len(known.diff_ids) :]
    history += [_history(step, latest_s) for step in steps]
    times = [step.created_ns for step in steps if step.created_ns is not None]
    if times:
        document["created"] = _time(max(times), latest_s)
    document["history"] = history
    document["rootfs"] = {
        "type": "layers",
        "diff_ids": [str(diff_id) for diff_id in diff_ids],
    }
    return msgspec.json.encode(document, order="sorted")


def _of_this_machine() -> dict[str, object]:
    platform = host_platform()
    document: dict[str, object] = {
        "architecture": platform.architecture,
        "os": platform.os,
    }
    if platform.variant:
        document["variant"] = platform.variant
    return document


def _base_history(known: ImageConfig, written: object) -> list[object]:
    """Return the history of the base as it is written, with a step for each layer."""
    layers = len(known.diff_ids)
    if sum(not step.is_empty for step in known.history) != layers:
        return [{} for _ in range(layers)]  # it tells of other layers
    return list(written) if isinstance(written, list) else []


def _history(step: Step, latest_s: int | None) -> dict[str, str]:
    found = {"created_by": step.created_by}
    if step.created_ns is not None:
        found["created"] = _time(step.created_ns, latest_s)
    return found


def _time(time_ns: int, latest_s: int | None) -> str:
    seconds = time_ns // _SECOND_NS
    if latest_s is not None:
        seconds = min(seconds, latest_s)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
