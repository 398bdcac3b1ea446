"""snapfs-fuse as a process: what it says, when it returns, what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from snapfs import __version__
from snapfs.syscalls import MNT_DETACH, umount2
from support.disks import overlay_disk
from support.fuse_mounts import HELPER, helper_environment, union_options
from support.sandbox import REPOSITORY, wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.root]

Layers = tuple[Path, Path, Path, Path]


def _helper(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HELPER, *words],
        env=helper_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Layers]:
    """A lower with one file, an upper, a work and a mount point; unmounted after."""
    made = tuple(tmp_path / name for name in ("lower", "upper", "work", "merged"))
    for path in made:
        path.mkdir()
    (made[0] / "file").write_text("lower\n")
    yield made[0], made[1], made[2], made[3]
    while os.path.ismount(made[3]):
        umount2(made[3], MNT_DETACH)


def _servers(mountpoint: Path) -> list[psutil.Process]:
    """Return the processes of a mount: its keeper, and the server."""
    # Read with the list, which leaves out what ends meanwhile.
    return [
        process
        for process in psutil.process_iter(["cmdline", "name", "status"])
        if str(mountpoint) in (process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def _named(mountpoint: Path, name: str) -> list[psutil.Process]:
    return [each for each in _servers(mountpoint) if each.info["name"] == name]


def test_it_returns_once_the_mount_is_live_and_holds_no_stream(layers: Layers) -> None:
    lower, upper, work, merged = layers

    # Returning at all means that both streams have ended: they are pipes.
    done = _helper("-o", union_options([lower], upper, work), "overlay", str(merged))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (merged / "file").read_text() == "lower\n"
    wait_until(lambda: bool(_named(merged, "snapfs-fuse")), "the server's name")
    (server,) = _named(merged, "snapfs-fuse")
    (keeper,) = _named(merged, "snapfs-keeper")
    assert server.ppid() == keeper.pid
    assert os.getsid(server.pid) == os.getsid(keeper.pid) == keeper.pid
    for process in (keeper, server):
        assert os.readlink(f"/proc/{process.pid}/cwd") == "/"
        assert {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)} == {
            os.devnull
        }


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-"])
def test_it_mounts_for_a_caller_whose_streams_are_closed(
    layers: Layers, closed: str
) -> None:
    lower, upper, work, merged = layers
    words = [*HELPER, "-o", union_options([lower], upper, work), "x", str(merged)]

    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        env=helper_environment(),
        check=False,
    )

    assert done.returncode == 0
    assert (merged / "file").read_text() == "lower\n"
    (merged / "new").write_text("new")
    assert (upper / "new").read_text() == "new"


def test_a_mistake_of_a_caller_without_streams_has_its_exit_code() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *HELPER, "-o", "bogus", "/x"],
        env=helper_environment(),
        check=False,
    )

    assert done.returncode == 2


def test_the_server_ends_with_the_mount(layers: Layers) -> None:
    lower, upper, work, merged = layers
    _helper("-o", union_options([lower], upper, work), "overlay", str(merged))

    umount2(merged)

    wait_until(lambda: not _servers(merged), "the server's end")
    assert os.listdir(work / "work") == []


@pytest.mark.parametrize("name", ["snapfs-keeper", "snapfs-fuse"])
def test_sigterm_unmounts(layers: Layers, name: str) -> None:
    lower, upper, work, merged = layers
    _helper("-o", union_options([lower], upper, work), "overlay", str(merged))
    # A server that was just forked has its keeper's name for a moment.
    wait_until(lambda: len(_named(merged, name)) == 1, "the processes' names")

    _named(merged, name)[0].terminate()

    wait_until(lambda: not _servers(merged), "the server's end")
    assert not os.path.ismount(merged)


def test_sigterm_ends_it_though_a_mount_namespace_has_a_copy(layers: Layers) -> None:
    lower, upper, work, merged = layers
    _helper("-o", union_options([lower], upper, work), "overlay", str(merged))
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", "echo copied; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as copy:
        assert copy.stdout is not None
        assert copy.stdout.readline() == b"copied\n"
        wait_until(lambda: bool(_named(merged, "snapfs-fuse")), "the server's name")
        umount2(str(merged))
        (server,) = _named(merged, "snapfs-fuse")

        server.terminate()

        wait_until(lambda: not _servers(merged), "the server's end")
        assert copy.poll() is None
        copy.communicate()


def test_relative_directories_count_from_where_it_is_called(layers: Layers) -> None:
    lower, *_ = layers

    done = _helper("-o", "lowerdir=lower", "merged", cwd=lower.parent)

    assert (done.returncode, done.stderr) == (0, "")
    assert (layers[3] / "file").read_text() == "lower\n"


def test_the_options_that_containerd_passes_work_together(layers: Layers) -> None:
    lower, upper, work, merged = layers

    done = _helper(
        "overlay",
        str(merged),
        "-o",
        f"workdir={work},upperdir={upper},lowerdir={lower},volatile,ro,dev,suid",
    )

    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(OSError, match="Read-only"):
        (merged / "new").write_text("x")


def test_read_only_stands_beside_a_live_mount_of_the_same_upper(layers: Layers) -> None:
    lower, upper, work, merged = layers
    options = union_options([lower], upper, work)
    view = merged.with_name("view")
    view.mkdir()
    assert _helper("-o", options, "overlay", str(merged)).returncode == 0
    (merged / "new").write_text("new")

    done = _helper("-o", f"{options},ro", "overlay", str(view))

    try:
        assert (done.returncode, done.stderr) == (0, "")
        assert (view / "new").read_text() == "new"
        (merged / "later").write_text("later")
        assert (merged / "later").read_text() == "later"
    finally:
        umount2(view, MNT_DETACH)


def test_an_upperdir_that_takes_no_whiteouts_is_refused(
    layers: Layers, tmp_path: Path
) -> None:
    lower, *_, merged = layers
    with overlay_disk(tmp_path / "disk") as disk:
        upper, work = disk / "upper", disk / "work"
        upper.mkdir()
        work.mkdir()
        options = union_options([lower], upper, work)

        done = _helper("-o", options, "overlay", str(merged))
        view = _helper("-o", f"{options},ro", "overlay", str(merged))
        umount2(merged)

    assert done.returncode == 6
    assert f"upperdir {upper}: its filesystem takes no whiteouts" in done.stderr
    assert view.returncode == 0


def test_a_second_writable_mount_of_the_same_upper_is_refused(layers: Layers) -> None:
    lower, upper, work, merged = layers
    options = union_options([lower], upper, work)
    second = merged.with_name("second")
    second.mkdir()
    assert _helper("-o", options, "overlay", str(merged)).returncode == 0

    done = _helper("-o", options, "overlay", str(second))

    assert done.returncode == 5
    assert "in use by another" in done.stderr
    assert not os.path.ismount(second)


def test_version_and_help_go_to_standard_output() -> None:
    version, usage = _helper("-V"), _helper("-h")

    assert (version.returncode, version.stdout) == (0, f"snapfs-fuse {__version__}\n")
    assert usage.returncode == 0
    assert "lowerdir=A:B" in usage.stdout


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        pytest.param(["-o", "lowerdir={lower},hue=1", "{m}"], 2, "'hue'", id="unknown"),
        pytest.param(["-o", "lowerdir={lower}"], 2, "MOUNTPOINT", id="no-mountpoint"),
        pytest.param(["{m}"], 2, "lowerdir is missing", id="no-layer"),
        pytest.param(
            ["-o", "lowerdir={lower}/none", "{m}"], 3, "lower/none", id="no-such-layer"
        ),
        pytest.param(
            ["-o", "lowerdir={lower}", "{m}/none"], 3, "merged/none", id="no-such-place"
        ),
        pytest.param(
            ["-o", "lowerdir={lower}/file", "{m}"],
            1,
            "file: Not a directory",
            id="layer-is-a-file",
        ),
        pytest.param(
            ["-o", "lowerdir={lower}", "{lower}/file"],
            5,
            "is not a directory",
            id="mountpoint-is-a-file",
        ),
        pytest.param(
            ["-o", "lowerdir={lower}", "{lower}"], 5, "is the directory", id="on-itself"
        ),
        pytest.param(
            ["-o", "lowerdir={m}/..", "{m}"], 5, "lies within", id="inside-a-layer"
        ),
        pytest.param(
            ["-o", "lowerdir={lower}", "{m}/.."], 5, "holds", id="above-a-layer"
        ),
        pytest.param(
            ["-o", "lowerdir={lower},upperdir={u},workdir={u}/w", "{m}"],
            5,
            "workdir",
            id="workdir-inside-upperdir",
        ),
        pytest.param(
            ["-o", "lowerdir={lower},upperdir={u},workdir=/proc", "{m}"],
            5,
            "different",
            id="workdir-elsewhere",
        ),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(
    layers: Layers, words: list[str], status: int, text: str
) -> None:
    lower, upper, _, merged = layers
    (upper / "w").mkdir()
    filled = [word.format(lower=lower, m=merged, u=upper) for word in words]

    done = _helper(*filled)

    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("snapfs-fuse: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr
    assert not os.path.ismount(merged)
    assert _servers(merged) == []


@pytest.mark.parametrize("kind", ["fuse.snapfs-fuse", "fuse3.snapfs-fuse"])
def test_mount_fuse3_finds_the_launcher(
    layers: Layers, tmp_path: Path, kind: str
) -> None:
    lower, upper, work, merged = layers
    programs = tmp_path / "bin"
    programs.mkdir()
    subprocess.run(
        [sys.executable, "-m", "snapfs", "install-helper", "--directory", programs],
        cwd=REPOSITORY,
        check=True,
    )
    # mount.fuse3 takes the program from a fixed path: give it a private one.
    script = f"""
        set -e
        mount --bind {programs} /usr/local/bin
        mount -t {kind} -o {union_options([lower], upper, work)},nosuid \
            overlay {merged}
        cat {merged}/file
        echo changed > {merged}/file
        grep ' {merged} ' /proc/self/mounts
        umount {merged}
    """

    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    content, table = done.stdout.splitlines()
    assert content == "lower"
    assert table.startswith(f"overlay {merged} fuse.snapfs-fuse rw,nosuid")
    assert (upper / "file").read_text() == "changed\n"
    wait_until(lambda: not _servers(merged), "the server's end")
