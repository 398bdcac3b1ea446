"""``python -m snapfs.remote``: the process that makes a layer for containerd."""

import sys

from snapfs.remote.layer_upload import main

if __name__ == "__main__":
    sys.exit(main())
