"""The keeper of a mount: what outlives a server, and how it is told what to do."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snapfs.fuse.control import read_statistics
from snapfs.syscalls import MNT_DETACH, umount2
from support.fuse_mounts import MountedUnion, helper_environment, mounted_union
from support.keeper import kill_server, server_of
from support.sandbox import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.root]


class Mounted:
    """A live mount, its directories and its keeper."""

    def __init__(self, mounted: MountedUnion, base: Path) -> None:
        self.union = mounted
        self.base = base
        self.merged = base / "merged"
        self.keeper = mounted.process.pid

    def statistics(self) -> dict[str, object]:
        device = os.stat(self.merged).st_dev
        return dict(read_statistics(f"{os.major(device)}:{os.minor(device)}"))


@pytest.fixture(params=["fast", "io"])
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mounted]:
    """A union of one lower with a small and a large file."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("lower\n")
    (tmp_path / "lower" / "large").write_bytes(bytes(range(256)) * 4096)
    with mounted_union(
        [tmp_path / "lower"],
        tmp_path / "upper",
        tmp_path / "work",
        tmp_path / "merged",
        (f"mode={request.param}",),
    ) as union:
        yield Mounted(union, tmp_path)


def test_reading_many_files_never_has_the_table_of_descriptors_grow(
    mounted: Mounted,
) -> None:
    """Then the kernel would have all requests wait for a grace period of RCU."""
    for number in range(300):
        (mounted.base / "lower" / f"file{number}").write_text("x")
    (mounted.merged / "file").read_text()
    before = _table_size(mounted.keeper)

    for number in range(300):
        assert (mounted.merged / f"file{number}").read_text() == "x"

    assert _table_size(mounted.keeper) == before


def _table_size(keeper: int) -> bytes:
    status = Path(f"/proc/{server_of(keeper)}/status").read_bytes()
    return next(line for line in status.splitlines() if line.startswith(b"FDSize:"))


def test_open_files_mappings_and_directories_go_on(mounted: Mounted) -> None:
    merged = mounted.merged
    with (
        open(merged / "large", "r+b") as written,
        open(merged / "file", "rb") as read,
    ):
        mapping = mmap.mmap(written.fileno(), 1 << 20)
        mapping[0:3] = b"one"
        directory = os.open(merged, os.O_RDONLY)
        os.unlink(merged / "large")

        kill_server(mounted.keeper)

        mapping[4096:4099] = b"two"
        mapping.flush()
        assert os.pread(written.fileno(), 3, 0) == b"one"
        assert os.pread(written.fileno(), 3, 4096) == b"two"
        assert os.fstat(written.fileno()).st_nlink == 0
        assert read.read() == b"lower\n"
        assert os.listdir(directory) == ["file"]
        os.close(directory)
        mapping.close()
    wait_until(lambda: not os.listdir(mounted.base / "work" / "work"), "the forget")


def test_a_removed_working_directory_stays_one(mounted: Mounted) -> None:
    directory = mounted.merged / "directory"
    directory.mkdir(mode=0o750)
    fd = os.open(directory, os.O_RDONLY)
    os.rmdir(directory)
    before = os.fstat(fd)

    kill_server(mounted.keeper)

    after = os.fstat(fd)
    assert (after.st_mode, after.st_nlink) == (before.st_mode, 0)
    with pytest.raises(FileNotFoundError):
        os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.close(fd)


def test_hard_links_stay_one_file(mounted: Mounted) -> None:
    merged = mounted.merged
    (merged / "one").write_text("x")
    os.link(merged / "one", merged / "two")

    kill_server(mounted.keeper)
    (merged / "two").write_text("changed")

    assert (merged / "one").read_text() == "changed"
    assert os.stat(merged / "one").st_ino == os.stat(merged / "two").st_ino


def test_statistics_tell_of_deaths(mounted: Mounted) -> None:
    assert mounted.statistics()["restarts"] == 0

    killed = kill_server(mounted.keeper)

    (mounted.merged / "file").read_text()
    found = mounted.statistics()
    assert found["restarts"] == 1
    assert found["keeper"] == mounted.keeper
    assert found["pid"] != killed
    assert "was killed by SIGKILL" in str(found["last_death"])


def test_a_signal_has_another_server_go_on(mounted: Mounted) -> None:
    before = server_of(mounted.keeper)
    with open(mounted.merged / "file", "a") as file:
        file.write("more\n")
        file.flush()

        os.kill(mounted.keeper, signal.SIGUSR2)
        wait_until(
            lambda: server_of(mounted.keeper) not in (None, before), "another server"
        )

        file.write("and more\n")
    assert (mounted.merged / "file").read_text() == "lower\nmore\nand more\n"
    assert mounted.statistics()["restarts"] == 0


def test_the_mount_lives_without_its_keeper(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("lower\n")
    merged = tmp_path / "merged"
    with (
        suppress(RuntimeError),
        mounted_union(  # the status of a killed keeper
            [tmp_path / "lower"], tmp_path / "upper", tmp_path / "work", merged
        ) as union,
    ):
        server = server_of(union.process.pid)

        union.process.kill()
        union.process.wait()

        (merged / "new").write_text("new")
        assert (merged / "file").read_text() == "lower\n"
        umount2(merged, MNT_DETACH)
    wait_until(lambda: not Path(f"/proc/{server}").exists(), "the server's end")


def test_nothing_half_copied_is_left_by_a_death_in_a_copy_up(
    tmp_path: Path,
) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    content = os.urandom(1 << 20) * 96
    (tmp_path / "lower" / "large").write_bytes(content)
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    with mounted_union([lower], upper, work, merged) as union:
        appending = threading.Thread(target=_append, args=(merged / "large",))
        appending.start()
        for _ in range(5):
            kill_server(union.process.pid)
            seen = upper / "large"
            assert not seen.exists() or seen.stat().st_size >= len(content)
        appending.join()
        assert (merged / "large").read_bytes() == content + b"end"

    assert os.listdir(work / "work") == []
    assert (lower / "large").read_bytes() == content
    with mounted_union([lower], upper, work, merged):
        assert (merged / "large").stat().st_size == len(content) + 3


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"end")


def test_the_next_mount_cleans_up_after_keeper_and_server_died(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    (lower / "file").write_text("lower\n")
    with suppress(RuntimeError), mounted_union([lower], upper, work, merged) as it:
        fd = os.open(merged / "file", os.O_WRONLY)
        os.write(fd, b"more\n")
        os.unlink(merged / "file")
        server = server_of(it.process.pid)
        it.process.kill()
        it.process.wait()
        assert server is not None
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{server}").exists(), "the server's end")
        with suppress(OSError):
            os.close(fd)
        assert os.listdir(work / "work") != []
        umount2(merged, MNT_DETACH)

    with mounted_union([lower], upper, work, merged):
        assert os.listdir(work / "work") == []
        assert os.listdir(merged) == []


def test_it_goes_on_in_a_user_namespace(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "file").write_text("lower\n")
    script = f"""
        set -e
        {" ".join((sys.executable, "-m", "snapfs.fuse.helper"))} \
            -o lowerdir=lower,upperdir=upper,workdir=work merged
        echo one > merged/one
        exec 3>> merged/one
        rm merged/file
        kill -9 $(pgrep -x snapfs-fuse)
        echo two >&3
        exec 3>&-
        cat merged/one
        ls merged
        umount merged
    """
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"),
            *("--mount-proc", "sh", "-c", script),
        ],
        cwd=tmp_path,
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["one", "two", "one"]
