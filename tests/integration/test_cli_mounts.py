"""The commands that mount, on a real store: mount, umount, blame, shell, run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from snapfs import mountinfo, open_store
from support.command import Command
from support.unprivileged import as_nobody

pytestmark = pytest.mark.root


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """A store with 'base' (a/one, a/two) and the active snapshot 'work' on it."""
    with open_store(tmp_path / "root") as store:
        store.prepare("making")
        fs = Path(store.details("making").content)
        (fs / "a").mkdir()
        (fs / "a" / "one").write_text("one\n")
        (fs / "a" / "two").write_text("two\n")
        store.commit("base", "making")
        store.prepare("work", "base")
    return Command(tmp_path / "root")


def test_changes_through_a_mount_are_the_snapshots(
    command: Command, target: Path
) -> None:
    command.ok("mount", "work", target, "--rw")
    (target / "a" / "one").unlink()
    (target / "new").write_text("new\n")
    command.ok("umount", target)
    command.ok("commit", "top", "work")

    command.ok("mount", "top", target)

    assert sorted(os.listdir(target / "a")) == ["two"]
    assert (target / "new").read_text() == "new\n"
    with pytest.raises(OSError, match="Read-only"):
        (target / "more").touch()


def test_upper_keeps_the_changes_apart(
    command: Command, target: Path, tmp_path: Path
) -> None:
    command.ok("mount", "base", target, "--upper", tmp_path / "kept")
    (target / "new").touch()
    command.ok("umount", target)

    command.ok("mount", "base", target)

    assert os.listdir(target) == ["a"]
    assert os.listdir(tmp_path / "kept" / "fs") == ["new"]


def test_layers_and_directories_are_mounted_too(
    command: Command, target: Path, tmp_path: Path
) -> None:
    for name in ("top", "low: odd,name"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    command.ok("mount", f"layers:{tmp_path}/top:{target}", target)
    assert os.listdir(target) == ["top"]
    command.ok("umount", target)

    command.ok(
        "mount", f"dir:{tmp_path}/low: odd,name", target, "--upper", tmp_path / "up"
    )

    assert os.listdir(target) == ["low: odd,name"]


def test_umount_names_who_keeps_it_busy(command: Command, target: Path) -> None:
    command.ok("mount", "work", target)

    with (target / "a" / "one").open():
        done = command("umount", target)
    after = command("umount", target)

    assert done.returncode == 5
    assert f"pid {os.getpid()}" in done.stderr
    assert "a/one" in done.stderr
    assert done.stderr.count("\n") == 1
    assert after.returncode == 0
    assert mountinfo.find(str(target)) is None


def test_umount_names_the_mount_on_top(
    command: Command, target: Path, tmp_path: Path
) -> None:
    command.ok("mount", "work", target)
    command.ok("mount", f"dir:{command.root}", target / "a")

    done = command("umount", target)

    assert done.returncode == 5
    assert f"{str(target / 'a')!r} is mounted on it" in done.stderr


def test_mounts_for_a_shell_work_there(command: Command, target: Path) -> None:
    if shutil.which("mount") is None:
        pytest.skip("mount(8) is not installed")
    script = command.ok("mounts", "work", "--shell", "--target", target)

    subprocess.run(["sh", "-ec", script], check=True)

    assert os.listdir(target / "a")


def test_blame_names_the_key_of_each_layer(command: Command, target: Path) -> None:
    command.ok("mount", "work", target, "--rw")
    (target / "a" / "one").unlink()
    (target / "new").touch()

    def blame(path: str) -> list[tuple[str, str]]:
        document = json.loads(command.ok("blame", target / path, "--json"))
        return [(layer["role"], layer["key"]) for layer in document["layers"]]

    assert blame("new") == [("supplies", "work")]
    assert blame("a/two") == [("supplies", "base")]
    assert blame("a") == [("supplies", "work"), ("merged", "base")]
    assert blame("a/one") == [("removes", "work")]
    assert command("blame", target / "none").returncode == 3


def test_blame_works_where_one_layer_needs_no_overlay(
    command: Command, target: Path
) -> None:
    command.ok("mount", "base", target)

    document = json.loads(command.ok("blame", target / "a" / "one", "--json"))

    assert [layer["key"] for layer in document["layers"]] == ["base"]


def test_blame_outside_of_an_overlay_is_exit_code_5(command: Command) -> None:
    assert command("blame", "/proc/self").returncode == 5


@pytest.mark.parametrize("key", ["work", "alone"])
def test_a_backup_refuses_while_a_snapshot_is_mounted(
    command: Command, target: Path, tmp_path: Path, key: str
) -> None:
    command.ok("prepare", "alone")
    command.ok("mount", key, target, "--rw")

    done = command("backup", tmp_path / "b.tar")
    command.ok("umount", target)

    assert done.returncode == 5
    assert f"mounted at {str(target)!r}" in done.stderr
    command.ok("backup", tmp_path / "b.tar")


def test_a_shell_sees_the_tree_and_nobody_else_does(
    command: Command, target: Path
) -> None:
    done = command(
        "shell", "--rw", "work", "sh", "-c", 'pwd; cat a/one; echo "$SNAPFS_TREE" >new'
    )

    assert done.returncode == 0, done.stderr
    where, content = done.stdout.splitlines()
    assert content == "one"
    assert not os.path.exists(where)
    assert where not in [entry.target for entry in mountinfo.read()]
    command.ok("mount", "work", target)
    assert (target / "new").read_text().strip() == where


def test_changes_of_a_shell_on_a_committed_snapshot_go_with_it(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    command.environment["TMPDIR"] = str(tmp_path / "scratch")

    script = "echo new >a/new; rm a/one; ls a"
    shown = command.ok("shell", "--rw", "base", "sh", "-c", script)

    assert shown == "new\ntwo\n"
    assert os.listdir(tmp_path / "scratch") == []
    assert command.ok("shell", "base", "ls", "a") == "one\ntwo\n"


def test_a_shell_ends_with_the_exit_code_of_its_command(command: Command) -> None:
    assert command("shell", "base", "sh", "-c", "exit 42").returncode == 42
    assert command("shell", "base", "sh", "-c", "kill -9 $$").returncode == 137
    assert command("shell", "base", "--", "false").returncode == 1


def test_a_shell_with_an_unknown_command_is_exit_code_3(command: Command) -> None:
    done = command("shell", "base", "no-such-command")

    assert done.returncode == 3
    assert "command 'no-such-command' is not found" in done.stderr


def test_an_unprivileged_user_gets_a_user_namespace(open_directory: Path) -> None:
    command = as_nobody(open_directory / "root")
    command.ok("prepare", "making")
    command.ok("commit", "base", "making")
    command.ok("prepare", "work", "base")

    done = command("shell", "--rw", "work", "sh", "-c", "id -u; touch new; rm new")

    if done.returncode == 6:
        pytest.skip(f"this host has no user namespaces for users: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"


@pytest.fixture
def box(command: Command) -> Command:
    """The store with a snapshot 'box' that holds a shell and its libraries."""
    if shutil.which("runc") is None and shutil.which("crun") is None:
        pytest.skip("neither runc nor crun is installed")
    shell = os.path.realpath("/bin/sh")
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, check=False)
    libraries = re.findall(r"(/\S+) \(0x", listed.stdout)
    with open_store(command.root) as store:
        store.prepare("boxing")
        fs = Path(store.details("boxing").content)
        for name in ("dev", "proc", "run", "sys"):
            (fs / name).mkdir()
        for source, name in [(shell, "/bin/sh"), *((path, path) for path in libraries)]:
            place = fs / name.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        store.commit("box", "boxing")
    return command


@pytest.mark.containerd
def test_a_container_writes_and_nothing_of_it_remains(box: Command) -> None:
    script = "echo hello >/file; read word </file; echo $word; exit 3"

    done = box("run", "box", "sh", "-c", script)

    assert (done.returncode, done.stdout) == (3, "hello\n"), done.stderr
    assert [entry for entry in mountinfo.read() if "snapfs-run-" in entry.target] == []
    assert box("run", "--ro", "box", "sh", "-c", "echo >/file").returncode == 2
    assert json.loads(box.ok("ls", "--json", "-f", "name==box"))["kind"] == "committed"


@pytest.mark.containerd
def test_a_container_may_keep_its_changes(box: Command) -> None:
    box.ok("prepare", "kept", "box")

    box.ok("run", "--rw", "kept", "sh", "-c", "echo >/made")

    directory = json.loads(box.ok("info", "kept", "--json"))["directory"]
    assert "made" in os.listdir(f"{directory}/fs")


@pytest.mark.containerd
def test_a_container_leaves_no_directory_behind(box: Command, tmp_path: Path) -> None:
    box.environment["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()

    box.ok("run", "box", "sh", "-c", "echo >/made")

    assert os.listdir(tmp_path / "scratch") == []
