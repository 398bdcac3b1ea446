"""``python -m snapfs.unpack``: the nursery of the processes that apply layers.

Its socket is standard input.
"""

import socket
import sys

from snapfs.unpack.nursery import Nursery
from snapfs.unpack.worker import work

if __name__ == "__main__":
    with socket.socket(fileno=sys.stdin.fileno()) as requests:
        Nursery(requests, work).serve()
