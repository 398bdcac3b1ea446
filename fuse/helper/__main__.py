"""``python -m snapfs.fuse.helper``: the same program as ``snapfs-fuse``."""

from __future__ import annotations

import gc
import sys


def run() -> int:
    """Run ``snapfs-fuse`` as this process; return its exit status."""
    gc.disable()  # as the launcher does: of what is loaded now nothing is garbage
    from snapfs.fuse.helper.main import main

    return main()


if __name__ == "__main__":
    sys.exit(run())
