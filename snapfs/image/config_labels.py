"""An image's config, kept in the labels of the snapshot that shows the whole image.

So it goes with the snapshot, in one transaction and in its sidecar. A label holds four
KiB at most, so that the config is compressed and cut into as many as it takes.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import zlib
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "snapfs.io/image-config."
_LABEL_BYTES: Final = 4000
# A config is a few KiB. Labels are in memory and in every listing: what takes more
# than this is not kept.
_MOST_LABELS: Final = 16
_MOST_PLAIN_BYTES: Final = 4 << 20


def config_labels(content: bytes) -> dict[str, str]:
    """Return the labels that hold a config; none for one that is too large."""
    text = base64.b64encode(zlib.compress(content, 9)).decode()
    pieces = [text[at : at + _LABEL_BYTES] for at in range(0, len(text), _LABEL_BYTES)]
    if len(pieces) > _MOST_LABELS:
        return {}
    return {f"{_PREFIX}{number}": piece for number, piece in enumerate(pieces)}


def labelled_config(labels: Mapping[str, str]) -> bytes | None:
    """Return the config that labels hold; None if they hold none that is whole."""
    pieces = itertools.takewhile(
        bool, (labels.get(f"{_PREFIX}{number}", "") for number in itertools.count())
    )
    text = "".join(pieces)
    inflating = zlib.decompressobj()
    try:
        packed = base64.b64decode(text, validate=True)
        content = inflating.decompress(packed, _MOST_PLAIN_BYTES)
    except (binascii.Error, ValueError, zlib.error):  # somebody has changed a label
        return None
    return content if inflating.eof else None
