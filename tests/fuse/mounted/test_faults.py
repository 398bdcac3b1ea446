"""What fails below the mount: errors are told, and nothing else waits for them."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from snapfs.fuse.session import Handler, Later, Reply, Request
from snapfs.fuse.wire import Opcode, structs
from support.disks import failing_disk, filled, mounted, small_disk
from support.fuse_memory import MemoryFilesystem, served
from support.fuse_mounts import MountedUnion, mounted_union
from support.sandbox import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.root]

CONTENT = b"content" * 1000
LARGE = 1 << 20
HUGE = 128 << 20
FILES = {b"file": CONTENT, b"other": CONTENT, b"bad": CONTENT}
TOTALS = structs.STATFS_OUT.pack(10, 10, 10, 10, 10, 4096, 255, 4096)


class RemoteLayer:
    """A lower layer whose server can be made to hang."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._filesystem = MemoryFilesystem(FILES, valid_s=0)
        self._gate = self._filesystem.gate()
        self.is_hung = False
        handlers = self._filesystem.handlers
        handlers[Opcode.STATFS] = lambda _request: TOTALS
        handlers[Opcode.READ] = self._read
        for opcode in (Opcode.LOOKUP, Opcode.GETATTR, Opcode.READ, Opcode.READDIR):
            handlers[opcode] = self._hanging(handlers[opcode])

    def _read(self, request: Request) -> Reply:
        if request.nodeid == self._filesystem.nodeid(b"bad"):
            return -errno.EIO
        return self._filesystem.read(request)

    def _hanging(self, handler: Handler | None) -> Handler:
        assert handler is not None

        def answer(request: Request) -> Reply:
            if not self.is_hung:
                return handler(request)
            kept = request.keep()

            def wait() -> Reply:
                self._gate.wait()
                return handler(kept)

            return Later(wait, ~request.unique)

        return answer

    def answer_again(self) -> None:
        self.is_hung = False
        self._gate.set()

    @contextmanager
    def served(self) -> Iterator[None]:
        with served(self._filesystem, self.target):
            try:
                yield
            finally:
                self.answer_again()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[RemoteLayer]:
    layer = RemoteLayer(tmp_path / "remote")
    with layer.served():
        yield layer


@pytest.fixture
def union(tmp_path: Path, remote: RemoteLayer) -> Iterator[MountedUnion]:
    """A union of the remote layer and one of this machine, with an upperdir."""
    local, upper, work, merged = (
        tmp_path / name for name in ("local", "upper", "work", "merged")
    )
    for path in (local, upper, work, merged):
        path.mkdir()
    (local / "dir").mkdir()
    (local / "dir" / "near").write_text("near")
    with mounted_union([remote.target, local], upper, work, merged) as live:
        assert (merged / "file").read_bytes() == CONTENT
        try:
            yield live
        finally:
            remote.answer_again()


def test_an_error_of_a_layer_is_that_of_the_call(
    union: MountedUnion, tmp_path: Path
) -> None:
    merged = union.mountpoint
    for change in (os.truncate, os.chmod):
        with pytest.raises(OSError, match="Input/output error"):
            change(merged / "bad", 0o600)
    with pytest.raises(OSError, match="Input/output error"):
        (merged / "bad").read_bytes()

    assert (merged / "other").read_bytes() == CONTENT
    assert os.listdir(tmp_path / "upper") == []
    assert os.listdir(tmp_path / "work" / "work") == []


def reader(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; open(sys.argv[1]).read()", path]
    )


def test_what_needs_no_hung_layer_goes_on(
    union: MountedUnion, remote: RemoteLayer
) -> None:
    merged = union.mountpoint
    os.stat(merged / "dir")  # known, so that nobody asks the hung layer for it
    remote.is_hung = True
    outcomes: list[bytes] = []

    def read(name: str) -> None:
        outcomes.append((merged / name).read_bytes())

    # More of them than there are threads for what takes long.
    threads = [
        threading.Thread(target=read, args=(name,)) for name in ("file", "other") * 6
    ]
    for thread in threads:
        thread.start()
    assert (merged / "dir" / "near").read_text() == "near"
    (merged / "dir" / "new").write_text("new")
    (merged / "dir" / "near").write_text("changed")
    os.rename(merged / "dir" / "new", merged / "dir" / "moved")
    assert sorted(os.listdir(merged / "dir")) == ["moved", "near"]
    assert outcomes == []

    remote.answer_again()
    for thread in threads:
        thread.join()
    assert outcomes == [CONTENT] * len(threads)


def test_who_waits_for_a_hung_layer_can_be_killed(
    union: MountedUnion, remote: RemoteLayer
) -> None:
    remote.is_hung = True
    waiting = reader(union.mountpoint / "unknown")
    wait_until(lambda: is_in_fuse(waiting.pid), "the reader to wait")

    waiting.kill()

    assert waiting.wait() == -signal.SIGKILL


def is_in_fuse(pid: int) -> bool:
    waits_in = Path(f"/proc/{pid}/wchan").read_text()
    return "fuse" in waits_in or "request_wait" in waits_in


def test_a_mount_on_a_hung_layer_ends_all_the_same(
    union: MountedUnion, remote: RemoteLayer
) -> None:
    remote.is_hung = True
    waiting = reader(union.mountpoint / "file")
    try:
        wait_until(lambda: is_in_fuse(waiting.pid), "the reader to wait")

        union.process.terminate()

        wait_until(lambda: not os.path.ismount(union.mountpoint), "the unmount")
    finally:
        remote.answer_again()
        waiting.kill()
        waiting.wait()
    assert union.process.wait() == 0


def resources(union: MountedUnion) -> tuple[int, int]:
    """Return how many descriptors and threads the server has."""
    (server,) = psutil.Process(union.process.pid).children()
    return server.num_fds(), server.num_threads()


@contextmanager
def on_disk(home: Path, disk: Path) -> Iterator[MountedUnion]:
    """Mount a union whose upperdir lies on ``disk``."""
    lower, upper, work, merged = (
        home / "lower",
        disk / "upper",
        disk / "work",
        home / "merged",
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    (lower / "dir").mkdir()
    for number in range(3):
        (lower / "dir" / f"{number}").write_bytes(bytes(LARGE))
    with mounted_union([lower], upper, work, merged) as union:
        yield union


def refuses(number: int, change: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        change()
    assert caught.value.errno == number


def test_a_full_upper_is_told_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, on_disk(tmp_path, disk) as union:
        file = union.mountpoint / "dir" / "0"
        (union.mountpoint / "small").write_text("small")
        with filled(disk):
            refuses(errno.ENOSPC, lambda: os.chmod(file, 0o600))
            before = resources(union)
            for _ in range(50):
                refuses(errno.ENOSPC, lambda: os.chmod(file, 0o600))
            # A thread may hold one or two for a moment; a leak would be 50.
            after = resources(union)
            assert max(now - then for now, then in zip(after, before, strict=True)) < 10
            refuses(errno.ENOSPC, lambda: file.write_bytes(bytes(LARGE)))
            assert file.stat().st_size in (0, LARGE)
            assert (union.mountpoint / "small").read_text() == "small"
            # Nothing to write: what is there is taken away.
            (union.mountpoint / "small").unlink()

        assert [name for name in os.listdir(disk / "work/work") if "#t" in name] == []
        other = union.mountpoint / "dir" / "1"
        os.chmod(other, 0o600)
        assert other.stat().st_mode & 0o777 == 0o600


def test_an_upper_without_inodes_is_told(tmp_path: Path) -> None:
    words = ("-t", "tmpfs", "-o", "nr_inodes=8,size=16m", "tmpfs")
    with mounted(tmp_path / "disk", *words) as disk, on_disk(tmp_path, disk) as union:
        made = 0

        def make_many() -> None:
            nonlocal made
            for number in range(20):
                (union.mountpoint / f"{number}").touch()
                made += 1

        refuses(errno.ENOSPC, make_many)
        refuses(errno.ENOSPC, lambda: os.chmod(union.mountpoint / "dir/0", 0o600))

        assert len(os.listdir(union.mountpoint)) == made + 1
        for number in range(made):
            (union.mountpoint / f"{number}").unlink()
        # They are gone when the kernel has forgotten them, which nobody waits for.
        wait_until(lambda: os.statvfs(disk).f_ffree >= made, "free inodes")
        os.chmod(union.mountpoint / "dir/0", 0o600)


def test_an_upper_that_became_read_only_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with failing_disk(disk) as fail, on_disk(tmp_path, disk) as union:
        merged = union.mountpoint
        (merged / "mine").write_text("mine")
        fail()

        changes: list[Callable[[], object]] = [
            lambda: os.mkdir(merged / "new"),
            lambda: os.chmod(merged / "dir/0", 0o600),
            lambda: os.unlink(merged / "dir/0"),
            lambda: os.rename(merged / "dir", merged / "moved"),
            lambda: os.setxattr(merged / "dir/0", "user.name", b"value"),
            lambda: os.truncate(merged / "mine", 0),
        ]
        for change in changes:
            refuses(errno.EROFS, change)
        assert (merged / "mine").read_text() == "mine"
        assert (merged / "dir/0").stat().st_size == LARGE


def test_a_layer_that_vanishes_is_told_and_leaks_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk, on_disk(tmp_path, disk) as union:
        merged = union.mountpoint
        (merged / "mine").write_text("mine")
        assert (merged / "dir/0").stat().st_size == LARGE

        shutil.rmtree(tmp_path / "lower")

        refuses(errno.ENOENT, lambda: (merged / "dir/1").read_bytes())
        refuses(errno.ENOENT, lambda: os.chmod(merged / "dir/0", 0o600))
        assert (merged / "mine").read_text() == "mine"
        (merged / "new").write_text("new")
        assert os.listdir(disk / "work/work") == []


def test_a_caller_killed_in_a_copy_up_leaves_a_whole_copy_or_none(
    tmp_path: Path,
) -> None:
    program = "import os, sys; os.chmod(sys.argv[1], 0o600)"
    with (
        small_disk(tmp_path / "disk", "200m") as disk,
        on_disk(tmp_path, disk) as live,
    ):
        with (tmp_path / "lower" / "large").open("wb") as file:
            for _ in range(HUGE >> 20):
                file.write(b"x" * (1 << 20))
        free = os.statvfs(disk).f_bfree
        words = [sys.executable, "-c", program, str(live.mountpoint / "large")]
        with subprocess.Popen(words) as changing:
            wait_until(lambda: os.statvfs(disk).f_bfree < free, "the copy to begin")
            changing.kill()

        copy = disk / "upper" / "large"
        wait_until(
            lambda: copy.exists() or os.statvfs(disk).f_bfree == free,
            "the copy to be complete or given up",
        )

        assert not copy.exists() or copy.stat().st_size == HUGE
        assert os.listdir(disk / "work/work") == []
        os.chmod(live.mountpoint / "dir" / "0", 0o600)
