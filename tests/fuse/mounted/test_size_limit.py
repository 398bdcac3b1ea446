"""The option ``max_size``: an upper that is full answers EDQUOT, and no sooner."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from support.fuse_mounts import HELPER, MountedUnion, mounted_union, union_options
from support.sandbox import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.root]

LIMIT = 4 << 20
SLACK = 64 << 10
"""What the filesystem's own blocks may come to: directories, block maps."""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("low", "upper", "work", "merged")}
    for path in found.values():
        path.mkdir()
    (found["low"] / "three").write_bytes(os.urandom(3 << 20))
    (found["low"] / "tree/deep").mkdir(parents=True)
    return found


@pytest.fixture
def union(places: dict[str, Path]) -> Iterator[MountedUnion]:
    with mounted_union(
        [places["low"]],
        places["upper"],
        places["work"],
        places["merged"],
        (f"max_size={LIMIT}",),
    ) as made:
        yield made


def occupied(places: dict[str, Path]) -> int:
    """What du(1) says of both directories, each inode once."""
    tops = [str(places[name]) for name in ("upper", "work")]
    shown = subprocess.run(
        ["du", "-s", "--block-size=1", "--total", *tops],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(shown.stdout.splitlines()[-1].split()[0])


def fill(path: Path, piece: int = 64 << 10) -> int:
    """Write until it is refused; return the error."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, os.urandom(piece))
    except OSError as error:
        return error.errno or 0
    finally:
        os.close(fd)


@pytest.mark.parametrize("piece", [4096, 64 << 10, 1 << 20])
def test_a_full_upper_is_edquot(
    union: MountedUnion, places: dict[str, Path], piece: int
) -> None:
    assert fill(union.mountpoint / "file", piece) == errno.EDQUOT

    assert LIMIT - piece - SLACK <= occupied(places) <= LIMIT + SLACK


def test_what_is_removed_can_be_used_again(
    union: MountedUnion, places: dict[str, Path]
) -> None:
    for _ in range(3):
        assert fill(union.mountpoint / "file") == errno.EDQUOT
        (union.mountpoint / "file").unlink()
    os.truncate(union.mountpoint / "three", 1 << 20)
    (union.mountpoint / "rest").write_bytes(bytes(2 << 20))
    os.rename(union.mountpoint / "rest", union.mountpoint / "three")
    (union.mountpoint / "more").write_bytes(os.urandom(1 << 20))

    assert occupied(places) <= LIMIT + SLACK


def test_an_unlinked_file_counts_until_it_is_closed(union: MountedUnion) -> None:
    with (union.mountpoint / "file").open("wb", buffering=0) as file:
        file.write(bytes(3 << 20))
        (union.mountpoint / "file").unlink()
        with pytest.raises(OSError, match="quota"):
            (union.mountpoint / "other").write_bytes(bytes(3 << 20))

    def fits() -> bool:
        # Forgetting a file is a message that nobody waits for.
        try:
            (union.mountpoint / "other").write_bytes(bytes(3 << 20))
        except OSError:
            return False
        return True

    wait_until(fits, "the space of a closed file")


def test_what_is_there_may_be_overwritten_for_ever(union: MountedUnion) -> None:
    target = union.mountpoint / "file"
    assert fill(target) == errno.EDQUOT
    size = target.stat().st_size

    with target.open("r+b", buffering=0) as file:
        for _ in range(8):
            file.seek(0)
            assert file.write(b"x" * (1 << 20)) == 1 << 20

    assert target.stat().st_size == size


def test_holes_cost_nothing_until_they_are_filled(union: MountedUnion) -> None:
    target = union.mountpoint / "sparse"
    with target.open("wb", buffering=0) as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"data")
        assert fill(union.mountpoint / "rest") == errno.EDQUOT
        file.seek(0)
        with pytest.raises(OSError, match="quota") as refused:
            file.write(bytes(1 << 20))
        file.seek(1 << 29)
        file.write(b"DATA")

    assert refused.value.errno == errno.EDQUOT


def test_a_copy_up_that_does_not_fit_leaves_the_lower_file(
    union: MountedUnion, places: dict[str, Path]
) -> None:
    (union.mountpoint / "two").write_bytes(bytes(2 << 20))
    before = (places["low"] / "three").read_bytes()

    with (
        pytest.raises(OSError, match="quota") as refused,
        (union.mountpoint / "three").open("r+b", buffering=0) as file,
    ):
        file.write(b"x")

    assert refused.value.errno == errno.EDQUOT
    assert (union.mountpoint / "three").read_bytes() == before
    assert not (places["upper"] / "three").exists()
    (union.mountpoint / "two").unlink()
    with (union.mountpoint / "three").open("r+b") as file:
        file.write(b"x")
    assert (places["upper"] / "three").exists()


def allocate(fd: int, number: int, _source: int) -> None:
    os.posix_fallocate(fd, number << 20, 1 << 20)


def copy(fd: int, number: int, source: int) -> None:
    os.copy_file_range(source, fd, 1 << 20, 0, number << 20)


def map_and_write(fd: int, number: int, _source: int) -> None:
    os.truncate(fd, (number + 1) << 20)
    with mmap.mmap(fd, 1 << 20, offset=number << 20) as mapped:
        mapped[:] = os.urandom(1 << 20)
        mapped.flush()
    os.fsync(fd)


@pytest.mark.parametrize("grow", [allocate, copy, map_and_write])
def test_every_way_to_grow_is_counted(
    union: MountedUnion,
    places: dict[str, Path],
    grow: Callable[[int, int, int], None],
) -> None:
    source = os.open(union.mountpoint / "three", os.O_RDONLY)
    error = 0
    with (union.mountpoint / "file").open("w+b", buffering=0) as file:
        for number in range(8):
            try:
                grow(file.fileno(), number, source)
            except OSError as refusal:
                error = refusal.errno or 0
                break
    os.close(source)

    assert error == errno.EDQUOT
    assert occupied(places) <= LIMIT + SLACK


def test_empty_directories_are_no_way_around(
    union: MountedUnion, places: dict[str, Path]
) -> None:
    assert fill(union.mountpoint / "file", 4096) == errno.EDQUOT

    made = 0
    with contextlib.suppress(OSError):
        for made in range(1000):
            (union.mountpoint / f"d{made}").mkdir()

    assert made < 1 + SLACK // 4096
    assert occupied(places) <= LIMIT + SLACK
    with pytest.raises(OSError, match="quota"):
        (union.mountpoint / "tree/deep/new").mkdir()


def test_threads_together_do_not_go_beyond(
    union: MountedUnion, places: dict[str, Path]
) -> None:
    errors: list[int] = []

    def write(number: int) -> None:
        errors.append(fill(union.mountpoint / f"file{number}", 256 << 10))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == [errno.EDQUOT] * 6
    assert occupied(places) <= LIMIT + SLACK


def test_the_limit_is_what_df_shows(union: MountedUnion) -> None:
    (union.mountpoint / "file").write_bytes(os.urandom(1 << 20))

    found = os.statvfs(union.mountpoint)

    assert found.f_blocks * found.f_frsize == LIMIT
    left = found.f_bavail * found.f_frsize
    assert LIMIT - (1 << 20) - SLACK <= left <= LIMIT - (1 << 20)


def test_a_server_that_takes_over_counts_on(
    union: MountedUnion, places: dict[str, Path]
) -> None:
    (union.mountpoint / "two").write_bytes(os.urandom(2 << 20))
    [server] = psutil.Process(union.process.pid).children()
    server.send_signal(signal.SIGKILL)

    assert fill(union.mountpoint / "file") == errno.EDQUOT

    assert LIMIT - SLACK - (64 << 10) <= occupied(places) <= LIMIT + SLACK
    union.release()


def test_a_deep_upper_is_counted(places: dict[str, Path]) -> None:
    """A container can make trees deeper than a walk by recursion can go."""
    top = os.open(places["upper"], os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=top)
        below = os.open("d", os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.close(top)
    (places["upper"] / "file").write_bytes(os.urandom(1 << 20))

    with mounted_union(
        [places["low"]],
        places["upper"],
        places["work"],
        places["merged"],
        (f"max_size={16 << 20}",),
    ) as union:
        error = fill(union.mountpoint / "more", 1 << 20)
        found = occupied(places)
    # pytest's own way to remove it is by recursion.
    subprocess.run(["rm", "-rf", places["upper"]], check=True)

    assert error == errno.EDQUOT
    assert found <= (16 << 20) + SLACK


@pytest.mark.parametrize("words", [("max_size=0",), ("max_size=1000", "mode=io")])
def test_what_makes_no_sense_is_refused(
    places: dict[str, Path], words: tuple[str, ...]
) -> None:
    options = union_options([places["low"]], places["upper"], places["work"], words)

    done = subprocess.run(
        [*HELPER, "snapfs", places["merged"], "-o", options],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "max_size" in done.stderr
    assert "Traceback" not in done.stderr
