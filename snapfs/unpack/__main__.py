"""``python -m snapfs.unpack``: the process that applies one layer."""

import sys

from snapfs.unpack.worker import main

if __name__ == "__main__":
    sys.exit(main())
