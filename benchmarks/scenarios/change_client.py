"""A client of ``concurrent_change_time``: a program of its own, without our imports.

It reads lines ``WORK DIRECTORY COUNT`` and answers each, once the work is done, with
the number of files. It ends at the end of its input.
"""

import os
import sys

CONTENT = b"snapfs benchmark" * 256
CHANGE = b"changed"


def create(directory: str, count: int) -> None:
    """Make new files with some content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for number in range(count):
        file = os.open(f"{directory}/n{number:05d}", flags, 0o644)
        os.write(file, CONTENT)
        os.close(file)


def copy_up(directory: str, count: int) -> None:
    """Write to the beginning of files that lie in a layer."""
    for number in range(count):
        file = os.open(f"{directory}/f{number:05d}", os.O_WRONLY)
        os.write(file, CHANGE)
        os.close(file)


def stat(directory: str, count: int) -> None:
    """Look at files whose names the kernel has not seen yet."""
    for number in range(count):
        os.stat(f"{directory}/f{number:05d}")


WORK = {"create": create, "copy-up": copy_up, "stat": stat}


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        work, directory, count = line.rstrip("\n").split("\t")
        WORK[work](directory, int(count))
        print(count, flush=True)


if __name__ == "__main__":
    main()
