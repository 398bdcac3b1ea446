"""The commands on FUSE mounts: mount, stats, shell, umount, install-helper, doctor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs import mountinfo
from support.command import Command
from support.fuse_users import run_script
from support.sandbox import wait_until
from support.unprivileged import NOBODY, as_nobody

pytestmark = [pytest.mark.root, pytest.mark.fuse]


@pytest.fixture
def layers(tmp_path: Path) -> str:
    for name in ("top", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(f"{name}\n")
    return f"layers:{tmp_path}/top:{tmp_path}/base"


@pytest.fixture
def fuse(command: Command) -> Command:
    return command.by("fuse")


def process_of(target: Path, fuse: Command) -> int:
    return int(json.loads(fuse.ok("--json", "stats", target))["pid"])


def has_ended(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def test_directories_are_mounted_and_counted(
    fuse: Command, target: Path, layers: str, tmp_path: Path
) -> None:
    done = fuse("mount", layers, target, "--upper", tmp_path / "changes")
    (target / "base").write_text("changed\n")
    (target / "top").unlink()
    counted = json.loads(fuse.ok("--json", "stats", target))
    shown = fuse.ok("stats", target)
    fuse.ok("umount", target)

    assert "read-write, fuse driver (chosen by --driver)" in done.stderr
    assert counted["requests"]["UNLINK"] == 1
    assert counted["copy_ups"] == 1
    assert counted["replies"] >= counted["errors"] > 0
    assert "UNLINK" in shown
    assert (tmp_path / "changes" / "fs" / "base").read_text() == "changed\n"
    assert (tmp_path / "base" / "base").read_text() == "base\n"
    wait_until(lambda: has_ended(counted["pid"]), "the server to end")


def test_a_snapshot_is_mounted_by_the_driver_that_is_asked_for(
    command: Command, target: Path
) -> None:
    command.ok("prepare", "making")
    command.ok("commit", "base", "making")
    command.ok("prepare", "work", "base")

    done = command("--driver", "fuse", "mount", "work", target, "--rw")
    (target / "new").write_text("by fuse")
    entry = mountinfo.find(str(target))
    command.ok("umount", target)
    pid = None if entry is None else entry.type
    command.ok("mount", "work", target)

    assert "fuse driver (chosen by --driver)" in done.stderr
    assert pid == "fuse.snapfs-fuse"
    assert (target / "new").read_text() == "by fuse"


def test_a_busy_mount_says_who_uses_it(
    fuse: Command, target: Path, layers: str
) -> None:
    fuse.ok("mount", layers, target)
    pid = process_of(target, fuse)
    with (target / "top").open() as file:
        busy = fuse("umount", target)
        fuse.ok("umount", "--lazy", target)
        assert file.read() == "top\n"

    assert busy.returncode == 5
    assert "is busy" in busy.stderr
    wait_until(lambda: has_ended(pid), "the server to end")


@pytest.mark.usefixtures("layers")
def test_a_shell_on_fuse_leaves_no_server(fuse: Command, tmp_path: Path) -> None:
    script = "pwd; head -n 1 top/top; exit 7"

    done = fuse("shell", f"dir:{tmp_path}", "sh", "-c", script)

    assert done.returncode == 7, done.stderr
    assert done.stdout.endswith("\ntop\n")
    wait_until(lambda: not servers_of(tmp_path), "the server to end")


def servers_of(directory: Path) -> list[str]:
    """Return the processes that name ``directory`` and serve a mount."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", pid, "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if b"snapfs.fuse.helper" in words and os.fsencode(directory) in words:
            found.append(pid)
    return found


def test_an_ordinary_user_mounts_through_fusermount(open_directory: Path) -> None:
    home = open_directory
    for name in ("top", "base"):
        (home / name).mkdir()
        os.chown(home / name, NOBODY, NOBODY)
    (home / "base" / "file").write_text("file\n")
    os.chown(home / "base" / "file", NOBODY, NOBODY)
    script = """
        {snapfs} mount layers:top:base mnt --upper changes
        echo more >>mnt/file
        kill -9 $({snapfs} --json stats mnt | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')
        echo again >>mnt/file
        {snapfs} --json stats mnt | grep -o '"restarts": *1' >&2
        {snapfs} umount mnt
        cat changes/fs/file
        {snapfs} prepare w >/dev/null
        {snapfs} commit base w
        {snapfs} mount base mnt
        grep -c "$PWD/mnt fuse.snapfs-fuse ro" /proc/mounts
        {snapfs} umount mnt
    """

    done = run_script(home, script)

    assert done.returncode == 0, done.stderr
    assert "only FUSE mounts for an ordinary user" in done.stderr
    assert done.stdout.endswith("file\nmore\nagain\n1\n")
    assert '"restarts"' in done.stderr


def test_statistics_are_nobody_elses_business(open_directory: Path) -> None:
    for name in ("lower", "mnt"):
        (open_directory / name).mkdir()
    ours, theirs = Command(open_directory / "a"), as_nobody(open_directory / "b")
    where = open_directory / "mnt"
    ours.ok("--driver", "fuse", "mount", open_directory / "lower", where)
    try:
        done = theirs("stats", where)
        ours.ok("stats", where)
    finally:
        ours.ok("umount", where)

    assert done.returncode == 1
    assert "another user's" in done.stderr


def test_the_helper_is_installed_once_and_removed(
    command: Command, tmp_path: Path
) -> None:
    launcher = tmp_path / "snapfs-fuse"
    there = ("--directory", tmp_path)

    first = json.loads(command.ok("--json", "install-helper", *there))
    again = json.loads(command.ok("--json", "install-helper", *there))
    version = subprocess.run(
        [launcher, "-V"], capture_output=True, text=True, check=True
    )
    gone = json.loads(command.ok("--json", "install-helper", "--uninstall", *there))

    assert (first["changed"], again["changed"], gone["changed"]) == (True, False, True)
    assert version.stdout.startswith("snapfs-fuse ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["snapfs-fuse", "fuse3.snapfs-fuse"])
def test_a_foreign_file_is_never_touched(
    command: Command, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("#!/bin/sh\n")

    for words in ((), ("--uninstall",)):
        done = command("install-helper", "--directory", tmp_path, *words)
        assert done.returncode == 4
        assert "is not of snapfs" in done.stderr

    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "#!/bin/sh\n"


def test_a_launcher_has_a_directory_to_go_to(command: Command) -> None:
    missing = command("install-helper", "--directory", "/no/such")

    assert missing.returncode == 3
    assert missing.stderr.count("\n") == 1


def test_doctor_tries_the_installed_helper(command: Command, tmp_path: Path) -> None:
    if shutil.which("mount.fuse3") is None:
        pytest.skip("no mount.fuse3 here: apt-get install fuse3")
    words = " ".join(command.words)
    script = f"""
        mount -t tmpfs tmpfs /usr/local/bin
        {words} --json doctor >{tmp_path}/before
        {words} -q install-helper
        {words} --json doctor >{tmp_path}/after
    """

    subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],
        env=command.environment,
        check=True,
    )

    before, after = (helper(tmp_path / name) for name in ("before", "after"))
    assert "snapfs install-helper" in before["evidence"]
    assert after["available"], after["evidence"]
    assert "mounted a union by /usr/local/bin/snapfs-fuse" in after["evidence"]


def helper(file: Path) -> dict[str, str]:
    features = json.loads(file.read_text())["features"]
    return next(f for f in features if f["name"] == "fuse-helper")
