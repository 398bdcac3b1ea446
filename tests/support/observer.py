"""A process with a mount namespace of its own that mounts, looks, and tells.

Its mounts are seen by nobody else and end with it, however a test ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from snapfs.errors import SnapfsError
from snapfs.kernel_overlay.mounting import mount_all, unmount
from snapfs.model import Mount
from support.sandbox import REPOSITORY
from support.tree_metadata import Metadata, Tree, read_metadata

Answer = Tree | str


class Observer:
    """Reads trees through mounts in a process of its own; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation=private"),
                *(sys.executable, "-m", "support.observer"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}",
            },
        )

    def tree(self, mounts: Sequence[Mount]) -> Tree:
        """Return all metadata of what ``mounts`` show.

        Raises:
            AssertionError: They cannot be mounted or read; with the reason.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = msgspec.json.encode(list(mounts))
        self._process.stdin.write(request + b"\n")
        self._process.stdin.flush()
        size = int(self._process.stdout.readline() or b"0")
        answer = msgspec.msgpack.decode(
            self._process.stdout.read(size), type=dict[bytes, Metadata] | str
        )
        assert not isinstance(answer, str), answer
        return answer

    def close(self) -> None:
        """End the process and, with it, its mounts."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _observe(mounts: Sequence[Mount]) -> Answer:
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as target:
        try:
            mount_all(mounts, target)
        except SnapfsError as error:
            return f"cannot mount: {error}"
        try:
            return read_metadata(os.fsencode(target))
        except OSError as error:
            return f"cannot read: {error}"
        finally:
            unmount(target)


def main() -> None:
    """Answer one request a line until the input ends."""
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            answer = _observe(msgspec.json.decode(line, type=list[Mount]))
            data = msgspec.msgpack.encode(answer)
            sys.stdout.buffer.write(b"%d\n" % len(data) + data)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
