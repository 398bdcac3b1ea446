"""Unpack a layout into a store and print the peak memory of the greediest worker."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from layers.unpacked import image_store

from snapfs.overlay_format import XattrPrefix


def main(root: str, layout: str) -> None:
    """Print bytes: the largest resident set that any one child has had."""
    with image_store(Path(root), XattrPrefix.TRUSTED) as images:
        images.unpack(Path(layout))
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        assert images.store.check() == []
    sys.stdout.write(f"{peak_kib * 1024}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
