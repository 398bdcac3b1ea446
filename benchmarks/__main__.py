"""``python -m benchmarks`` in a checkout, ``python -m snapfs.benchmarks`` anywhere.

Both are ``snapfs bench``: this is another door of the same command, and the only
module here that knows the command line.
"""

from __future__ import annotations

import sys

from snapfs.cli.main import main

sys.exit(main(["bench", *sys.argv[1:]]))
