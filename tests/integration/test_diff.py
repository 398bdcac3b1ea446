"""``snapfs diff`` as a process: what a snapshot changes, with and without a service."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snapfs import open_store
from snapfs.cli.exit_codes import ExitCode
from snapfs.overlay_format import XattrPrefix, set_opaque
from snapfs.syscalls import umount2
from support.command import Command, serving
from support.expected_changes import SeenTree, expected_changes
from support.unprivileged import as_nobody


def content(command: Command, key: str) -> Path:
    """Return the directory of a snapshot's own content."""
    details = json.loads(command.ok("info", key, "--json"))
    return Path(details["directory"], "fs")


def changed(command: Command, *words: str | Path) -> list[str]:
    return command.ok("diff", *words).splitlines()


@pytest.fixture
def filled(command: Command) -> Command:
    """A base, "middle" on top of it, and the active snapshot "work"."""
    with open_store(command.root) as store:
        store.prepare("base-work")
        base = Path(store.details("base-work").content)
        for path, text in (("etc/hosts", "1"), ("etc/old", "2"), ("bin/tool", "3")):
            (base / path).parent.mkdir(exist_ok=True)
            (base / path).write_text(text)
        store.commit("base", "base-work")
        store.prepare("middle-work", "base")
        Path(store.details("middle-work").content, "new").write_text("new")
        store.commit("middle", "middle-work")
        store.prepare("work", "middle")
        work = Path(store.details("work").content)
    os.mknod(work / "new", 0o20000, os.makedev(0, 0))
    (work / "etc").mkdir()
    (work / "etc/hosts").write_text("changed")
    return command


WORK = ["D /new", "M /etc", "M /etc/hosts"]
"""What "work" changes."""


def test_each_kind_of_snapshot_has_a_diff(filled: Command) -> None:
    filled.ok("view", "look", "middle")

    assert changed(filled, "base") == [
        *("A /bin", "A /bin/tool"),
        *("A /etc", "A /etc/hosts", "A /etc/old"),
    ]
    assert changed(filled, "middle") == ["A /new"]
    assert changed(filled, "work") == WORK
    assert changed(filled, "look") == []


def test_any_two_snapshots_are_compared(filled: Command) -> None:
    assert changed(filled, "work", "base") == ["M /etc", "M /etc/hosts"]
    assert changed(filled, "snapshot:base", "work") == ["M /etc", "M /etc/hosts"]
    assert changed(filled, "work", "work") == []


def test_records_tell_what_was_and_what_is(filled: Command) -> None:
    records = [json.loads(line) for line in changed(filled, "work", "--json")]

    assert [(r["change"], r["path"], r["fields"]) for r in records] == [
        ("D", "/new", []),
        ("M", "/etc", ["mtime"]),
        ("M", "/etc/hosts", ["mtime", "size"]),
    ]
    assert records[0]["after"] is None
    assert records[2]["before"]["size_bytes"] == 1
    assert records[2]["after"].keys() == {
        *("type", "mode", "uid", "gid", "mtime", "size_bytes")
    }


def test_the_exit_code_tells_only_if_asked(filled: Command) -> None:
    assert filled("diff", "work").returncode == ExitCode.DONE
    assert filled("diff", "--exit-code", "work").returncode == ExitCode.FAILED
    assert filled("diff", "--exit-code", "work", "work").returncode == ExitCode.DONE


def test_beside_a_service_it_says_the_same(filled: Command) -> None:
    with serving(filled):
        assert changed(filled, "work") == WORK
        assert changed(filled, "middle", "base") == ["A /new"]


def test_directories_need_no_store(tmp_path: Path) -> None:
    command = Command(tmp_path / "none")
    left, right = tmp_path / "left", tmp_path / "right"
    for root, names in ((left, "ab"), (right, "bc")):
        root.mkdir()
        for name in names:
            (root / name).write_text(str(root))

    assert changed(command, right, left) == ["D /a", "M /b", "A /c"]
    assert changed(command, f"dir:{right}") == ["A /b", "A /c"]
    assert changed(command, f"layers:{right}:{left}") == ["M /b", "A /c"]
    assert not (tmp_path / "none").exists()


def test_a_path_that_is_no_text_is_printed_on_one_line(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / os.fsdecode(b"a\nb\xff")).touch()
    command = Command(tmp_path / "none")

    (line,) = changed(command, root)
    (record,) = changed(command, "--json", root)

    assert line.startswith("A /a")
    assert json.loads(record)["path"] == "/a\nb\\xff"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(["wrk"], ExitCode.NOT_FOUND, "did you mean 'work'", id="key"),
        pytest.param(["work", "bse"], ExitCode.NOT_FOUND, "'base'", id="parent"),
        pytest.param(["work", "/none"], ExitCode.NOT_FOUND, "'/none'", id="path"),
        pytest.param(
            ["docker://debian"], ExitCode.USAGE, "snapfs image diff", id="image"
        ),
        pytest.param([], ExitCode.USAGE, "KEY", id="nothing"),
    ],
)
def test_what_cannot_be_compared_is_named(
    filled: Command, words: list[str], code: ExitCode, message: str
) -> None:
    done = filled("diff", *words)

    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_damaged_mark_is_one_line(filled: Command) -> None:
    prefix = json.loads((filled.root / "store.json").read_text())["xattr_prefix"]
    etc = content(filled, "work") / "etc"
    os.setxattr(etc, f"{prefix}overlay.redirect", b"not/one/name")

    done = filled("diff", "work")

    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("snapfs: etc: invalid redirect")
    assert done.stderr.count("\n") == 1


def test_a_layer_that_hides_all_below_deletes_it(filled: Command) -> None:
    prefix = json.loads((filled.root / "store.json").read_text())["xattr_prefix"]
    etc = content(filled, "work") / "etc"
    set_opaque(str(etc), XattrPrefix(prefix))

    assert changed(filled, "work") == ["D /new", "M /etc", "D /etc/old", "M /etc/hosts"]


@contextmanager
def mounted(command: Command, target: Path, *words: str) -> Iterator[Path]:
    target.mkdir()
    command.ok(*words[:2], "mount", *words[2:], target)
    try:
        yield target
    finally:
        umount2(target)


@pytest.mark.root
@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_what_a_mount_changed_is_what_two_mounts_show(
    filled: Command, tmp_path: Path, driver: str
) -> None:
    if driver == "fuse" and not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    filled.ok("prepare", "next", "middle")
    words = ("--driver", driver)
    with mounted(filled, tmp_path / "write", *words, "next", "--rw") as merged:
        if driver == "fuse":  # the kernel's mounts have redirect_dir=off
            (merged / "etc").rename(merged / "moved")
        (merged / "bin/tool").chmod(0o700)
        (merged / "bin/more").symlink_to("tool")
        (merged / "new").unlink()
        (merged / "new").mkdir()

    found = changed(filled, "next")

    with (
        mounted(filled, tmp_path / "was", *words, "middle") as before,
        mounted(filled, tmp_path / "is", *words, "next") as after,
    ):
        trees = [SeenTree.read(path, XattrPrefix.TRUSTED) for path in (before, after)]
    expected = expected_changes(*trees)
    assert found == [f"{kind} /{os.fsdecode(path)}" for kind, path, _ in expected]
    assert "M /bin/tool" in found


def test_an_ordinary_user_has_a_diff_of_their_own(open_directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    nobody = as_nobody(open_directory / "theirs")
    nobody.ok("prepare", "work")
    (content(nobody, "work") / "new").touch(0o644)
    private = Command(open_directory / "ours")
    private.ok("prepare", "work")

    assert changed(nobody, "work") == ["A /new"]
    done = nobody("--root", private.root, "diff", "work")
    assert done.returncode == ExitCode.FAILED
    assert done.stderr.count("\n") == 1


def test_each_type_of_object_has_its_name(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for name, kind in (("p", stat.S_IFIFO), ("s", stat.S_IFSOCK)):
        os.mknod(root / name, kind | 0o600)
    (root / "l").symlink_to("p")

    records = map(json.loads, changed(Command(tmp_path / "none"), "--json", root))

    assert [(r["path"], r["after"]["type"]) for r in records] == [
        *(("/l", "symlink"), ("/p", "fifo"), ("/s", "socket"))
    ]
