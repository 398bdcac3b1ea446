"""``python -m snapfs``: the same program as ``snapfs``."""

import sys

from snapfs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
