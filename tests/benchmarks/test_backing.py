"""Backing filesystems and placements: made, used, and gone without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from snapfs import mountinfo
from snapfs.benchmarks import backing, caches
from snapfs.benchmarks.backing import Backing, best_available, provide
from snapfs.benchmarks.placement import Pinning, Placement, pin
from snapfs.benchmarks.protocols import CacheState
from snapfs.errors import ResourceExhaustedError, UnavailableError
from support.benchmarking import Copy

SIZE = 512 << 20


def loop_devices() -> str:
    return subprocess.run(
        ["losetup", "--all"], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.root
@pytest.mark.parametrize("backing", [Backing.TMPFS, Backing.EXT4, Backing.XFS])
def test_a_filesystem_is_made_and_removed(tmp_path: Path, backing: Backing) -> None:
    if reason := backing.unavailable():
        pytest.skip(reason)

    with provide(backing, tmp_path, SIZE) as (root, words):
        entry = mountinfo.find(str(root))
        assert entry is not None
        assert entry.type == backing
        assert words.startswith(f"{backing} (")
        (root / "file").write_bytes(b"x" * 8192)

    assert mountinfo.mounts_below(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in loop_devices()


@pytest.mark.root
def test_a_filesystem_is_removed_after_a_failure(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="on purpose"),
        provide(Backing.TMPFS, tmp_path, SIZE),
    ):
        raise ValueError("on purpose")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_what_a_target_left_mounted_is_detached_and_not_walked_into(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    work = tmp_path / "work"
    work.mkdir()

    with provide(Backing.DIRECTORY, work) as (root, _words):
        left = root / "left"
        left.mkdir()
        subprocess.run(["mount", "--bind", precious, left], check=True)

    assert (precious / "file").exists()
    assert mountinfo.mounts_below(str(tmp_path)) == []
    assert "was left mounted" in caplog.text


@pytest.mark.root
@pytest.mark.parametrize("ends", [True, False])
def test_a_process_inside_is_waited_for_and_then_left_behind(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    ends: bool,
) -> None:
    if reason := Backing.TMPFS.unavailable():
        pytest.skip(reason)
    monkeypatch.setattr(backing, "_LEAVE_S", 60.0 if ends else 0.0)

    with provide(Backing.TMPFS, tmp_path, 1 << 20) as (root, _words):
        words = ("sleep", "0.3" if ends else "600")
        process = subprocess.Popen(words, cwd=root)

    assert mountinfo.mounts_below(str(tmp_path)) == []
    assert ("is detached instead" in caplog.text) is not ends
    process.kill()
    process.wait()


@pytest.mark.root
def test_an_image_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    if reason := Backing.EXT4.unavailable():
        pytest.skip(reason)

    with (
        provide(Backing.TMPFS, tmp_path, 16 << 20) as (small, _words),
        pytest.raises(ResourceExhaustedError, match="does not fit"),
        provide(Backing.EXT4, small, SIZE),
    ):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_directory_needs_nothing(tmp_path: Path) -> None:
    with provide(Backing.DIRECTORY, tmp_path) as (root, words):
        (root / "file").touch()
        assert "(" in words

    assert list(tmp_path.iterdir()) == []


def test_without_root_there_are_only_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert best_available() is Backing.DIRECTORY
    with pytest.raises(UnavailableError, match="needs root"):
        provide(Backing.TMPFS, tmp_path).__enter__()


@pytest.fixture
def sleeper() -> object:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="only one CPU may be used here"
)
def test_two_cpus_keep_client_and_target_apart(
    sleeper: subprocess.Popen[bytes],
) -> None:
    pinning = Pinning(Placement.TWO_CPUS)
    before = os.sched_getaffinity(0)

    with pinning.restored():
        pinning.pin_clients()
        pinning.pin_targets([sleeper.pid])
        client, target = os.sched_getaffinity(0), os.sched_getaffinity(sleeper.pid)

    assert len(client) == len(target) == 1
    assert client != target
    assert os.sched_getaffinity(0) == before


def test_one_cpu_holds_both(sleeper: subprocess.Popen[bytes]) -> None:
    pinning = Pinning(Placement.ONE_CPU)

    with pinning.restored():
        pinning.pin_clients()
        pinning.pin_targets([sleeper.pid])
        client, target = os.sched_getaffinity(0), os.sched_getaffinity(sleeper.pid)

    assert len(client) == 1
    assert client == target


def test_a_process_that_has_ended_is_not_pinned() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    pin(process.pid, {0})


def test_one_cpu_cannot_be_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0})

    assert Placement.TWO_CPUS.unavailable() == "only one CPU may be used here"
    assert Placement.ONE_CPU.unavailable() == ""


def _is_cached(file: Path) -> bool:
    """Whether the first page of ``file`` can be read without waiting for the disk."""
    with file.open("rb") as opened:
        try:
            os.preadv(opened.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        return True


@pytest.mark.root
def test_cold_is_cold_and_warm_is_warm(tmp_path: Path) -> None:
    if reason := Backing.EXT4.unavailable():
        pytest.skip(reason)
    target = Copy()
    with provide(Backing.EXT4, tmp_path, SIZE) as (root, _):
        file = root / "file"
        file.write_bytes(b"x" * 4096)
        caches.produce(CacheState.WARM, target, root)
        was_warm = _is_cached(file)
        caches.produce(CacheState.COLD, target, root)
        was_cold = not _is_cached(file)
        file.read_bytes()

        assert was_warm
        assert was_cold
        assert _is_cached(file)
    assert target.forgotten == 1


def test_dropping_dentries_leaves_a_targets_own_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    knob = tmp_path / "drop_caches"
    monkeypatch.setattr(caches, "_DROP_CACHES", knob)
    target = Copy()

    caches.produce(CacheState.DCACHE_COLD, target, tmp_path)

    assert knob.read_text() == "2"
    assert target.forgotten == 0


@pytest.mark.parametrize("state", [CacheState.DCACHE_COLD, CacheState.COLD])
def test_only_the_filesystem_that_is_measured_is_written_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: CacheState
) -> None:
    # A stranger's that hangs would hang sync(2), and a busy one be in the way.
    def refuse() -> None:
        pytest.fail("sync(2) waits for every filesystem of the machine")

    written: list[Path] = []
    monkeypatch.setattr(os, "sync", refuse)
    monkeypatch.setattr(caches, "_DROP_CACHES", tmp_path / "drop_caches")
    monkeypatch.setattr(caches, "write_back", written.append)

    caches.produce(state, Copy(), tmp_path)

    assert written == [tmp_path]
