"""``python -m snapfs.fuse.helper``: the same program as ``snapfs-fuse``."""

import sys

from snapfs.fuse.helper.main import main

if __name__ == "__main__":
    sys.exit(main())
