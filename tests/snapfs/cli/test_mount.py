from __future__ import annotations

from pathlib import Path

import click
import pytest

from snapfs.cli.keys import WHAT
from snapfs.model import Mount

from .conftest import CommandLine


@pytest.fixture
def filled(snapfs: CommandLine) -> CommandLine:
    snapfs.store.prepare("making")
    snapfs.store.commit("base", "making")
    snapfs.store.prepare("work", "base")
    snapfs.store.view("look", "base")
    return snapfs


def only_mount(snapfs: CommandLine) -> Mount:
    [(mounts, _)] = snapfs.mounted
    [mount] = mounts
    return mount


@pytest.mark.parametrize("key", ["base", "work", "look", "snapshot:work"])
def test_any_snapshot_is_mounted_read_only_unless_told_otherwise(
    filled: CommandLine, target: Path, key: str
) -> None:
    outcome = filled("mount", key, target)

    assert outcome.code == 0
    assert only_mount(filled).is_read_only
    assert filled.mounted[0][1] == str(target)
    assert "read-only" in outcome.err


def test_an_active_snapshot_takes_changes_itself(
    filled: CommandLine, target: Path
) -> None:
    filled("mount", "work", target, "--rw")

    assert list(filled.mounted[0][0]) == filled.store.mounts("work")


@pytest.fixture
def scratch(snapfs: CommandLine, tmp_path: Path) -> Path:
    """Where temporary changes go."""
    (tmp_path / "scratch").mkdir()
    snapfs.environment["TMPDIR"] = str(tmp_path / "scratch")
    return tmp_path / "scratch"


@pytest.mark.parametrize("key", ["base", "look"])
def test_changes_of_what_never_changes_go_to_a_temporary_place(
    filled: CommandLine, target: Path, scratch: Path, key: str
) -> None:
    outcome = filled("mount", key, target, "--rw")

    assert outcome.code == 0
    [place] = scratch.iterdir()
    assert f"upperdir={place}/fs" in only_mount(filled).options
    assert f"changes  in {place}/fs, gone after 'snapfs umount'" in outcome.err


def test_what_an_earlier_boot_left_is_removed(
    filled: CommandLine, target: Path, scratch: Path
) -> None:
    filled("mount", "base", target, "--rw")
    [present] = scratch.iterdir()
    past = scratch / "snapfs-changes-past"
    (past / "fs").mkdir(parents=True)
    (past / "removed-by-snapfs-umount").write_text("another boot")
    others = scratch / "snapfs-changes-of-mine"
    (others / "fs").mkdir(parents=True)

    filled("mount", "base", target, "--rw")

    left = set(scratch.iterdir())
    assert {present, others} < left
    assert past not in left
    assert len(left) == 3


@pytest.mark.parametrize("key", ["base", "work", "dir"])
def test_what_cannot_be_mounted_leaves_no_temporary_place(
    filled: CommandLine,
    target: Path,
    scratch: Path,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted", "target")

    monkeypatch.setattr(filled, "_mount", refuse)

    outcome = filled("mount", f"dir:{target}" if key == "dir" else key, target, "--rw")

    assert outcome.code == 1
    assert list(scratch.iterdir()) == []


def test_an_upper_of_the_users_is_no_temporary_place(
    filled: CommandLine, target: Path, scratch: Path, tmp_path: Path
) -> None:
    document = filled(
        "mount", "base", target, "--upper", tmp_path / "kept", "--json"
    ).document

    assert document["changes"] == {
        "directory": str(tmp_path / "kept"),
        "temporary": False,
    }
    assert list(scratch.iterdir()) == []


def test_upper_keeps_the_changes_in_fs_and_work(
    filled: CommandLine, target: Path, tmp_path: Path
) -> None:
    upper = tmp_path / "changes"

    outcome = filled("mount", "base", target, "--upper", upper)

    assert outcome.code == 0
    options = only_mount(filled).options
    assert f"upperdir={upper}/fs" in options
    assert f"workdir={upper}/work" in options
    assert (upper / "fs").is_dir()
    assert (upper / "work").is_dir()


@pytest.mark.parametrize("other", [("--rw",), ("--upper", "x")])
def test_ro_excludes_what_writes(
    filled: CommandLine, target: Path, other: tuple[str, ...]
) -> None:
    outcome = filled("mount", "work", target, "--ro", *other)

    assert outcome.code == 2
    assert "exclude" in outcome.err


def test_mount_says_which_driver_serves_it_and_why(
    filled: CommandLine, target: Path
) -> None:
    outcome = filled("mount", "work", target)

    driver = filled.store.details("work").driver
    assert f"{driver} driver (recorded when 'work' was prepared)" in outcome.err
    assert outcome.out == ""


def test_mount_as_json_tells_the_same(filled: CommandLine, target: Path) -> None:
    document = filled("mount", "work", target, "--json").document

    assert document["what"] == "work"
    assert document["target"] == str(target)
    assert document["read_only"] is True
    assert document["mounts"]


def test_a_directory_is_bound_read_only(
    snapfs: CommandLine, target: Path, tmp_path: Path
) -> None:
    snapfs("mount", f"dir:{tmp_path}", target)

    mount = only_mount(snapfs)
    assert (mount.type, mount.source) == ("bind", str(tmp_path))
    assert mount.is_read_only
    assert snapfs.opened == []


def test_layers_are_stacked_highest_first(
    snapfs: CommandLine, target: Path, tmp_path: Path
) -> None:
    for name in ("top", "base"):
        (tmp_path / name).mkdir()

    snapfs("mount", f"layers:{tmp_path}/top:{tmp_path}/base", target)

    options = only_mount(snapfs).options
    places = [option for option in options if option.startswith("lowerdir")]
    assert places == [f"lowerdir+={tmp_path}/top", f"lowerdir+={tmp_path}/base"]


def test_a_bare_word_that_is_no_key_is_exit_code_2_with_suggestions(
    filled: CommandLine, target: Path
) -> None:
    outcome = filled("mount", "bse", target)

    assert outcome.code == 2
    assert "did you mean 'base'?" in outcome.err


def test_a_snapshot_named_as_such_that_is_missing_is_exit_code_3(
    filled: CommandLine, target: Path
) -> None:
    outcome = filled("mount", "snapshot:bse", target)

    assert outcome.code == 3
    assert "did you mean 'base'?" in outcome.err


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param("dir:/no/such", 3, id="missing directory"),
        pytest.param("/etc/passwd", 7, id="a file that is no archive"),
        pytest.param("layers:/etc:/etc/passwd", 2, id="a file as a layer"),
        pytest.param("layers:/etc::/usr", 2, id="an empty layer"),
        pytest.param("oci:/some/image", 3, id="a missing image"),
        pytest.param("oci:", 2, id="a scheme alone"),
    ],
)
def test_what_cannot_be_mounted_is_refused(
    snapfs: CommandLine, target: Path, what: str, code: int
) -> None:
    outcome = snapfs("mount", what, target)

    assert outcome.code == code
    assert outcome.err.count("\n") == 1
    assert snapfs.mounted == []


def test_a_directory_takes_changes_only_elsewhere(
    snapfs: CommandLine, target: Path, scratch: Path
) -> None:
    outcome = snapfs("mount", f"dir:{target}", target, "--rw")

    assert outcome.code == 0
    [place] = scratch.iterdir()
    assert f"upperdir={place}/fs" in only_mount(snapfs).options
    assert f"lowerdir+={target}" in only_mount(snapfs).options


def test_a_missing_target_is_refused_before_anything_is_made(
    filled: CommandLine, tmp_path: Path
) -> None:
    outcome = filled("mount", "base", tmp_path / "no", "--upper", tmp_path / "up")

    assert outcome.code == 3
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize("word", ["/mnt/app.t", "./app", "."])
def test_a_path_is_left_to_the_shell_to_complete(word: str) -> None:
    context = click.Context(click.Command("mount"))

    (item,) = WHAT.shell_complete(context, click.Argument(["what"]), word)

    assert (item.value, item.type) == (word, "file")


def test_umount_of_what_is_not_mounted_is_exit_code_5(
    snapfs: CommandLine, target: Path
) -> None:
    outcome = snapfs("umount", target)

    assert outcome.code == 5
    assert outcome.err == f"snapfs: {str(target)!r} is not a mount point\n"


def test_stats_of_a_kernel_mount_is_exit_code_6(snapfs: CommandLine) -> None:
    outcome = snapfs("stats", "/proc")

    assert outcome.code == 6
    assert "keeps no statistics" in outcome.err
    assert outcome.err.count("\n") == 1


def test_stats_of_no_mount_is_exit_code_5(snapfs: CommandLine, target: Path) -> None:
    assert snapfs("stats", target).code == 5
