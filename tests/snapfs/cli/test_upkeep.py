from __future__ import annotations

import pytest

from snapfs.driver import Feature
from snapfs.manager.rebuilding import Rebuilt
from snapfs.model import Finding, Severity
from snapfs.overlay_format import XattrPrefix, fitting_prefix

from .conftest import CommandLine

WARNING = Finding(Severity.WARNING, "old-trash", "/x", "it waits")
ERROR = Finding(Severity.ERROR, "missing-directory", "base", "its files are gone")


def with_findings(snapfs: CommandLine, *findings: Finding) -> CommandLine:
    snapfs.store.check = lambda: list(findings)  # type: ignore[method-assign]  # the fake is ours
    return snapfs


def test_cleanup_says_bytes_and_why(snapfs: CommandLine) -> None:
    snapfs.store.prepare("work")
    snapfs.store.remove("work")

    dry = snapfs("cleanup", "--dry-run")
    wet = snapfs("cleanup")
    again = snapfs("cleanup")

    assert dry.out == wet.out
    assert "8.0 KiB" in dry.out
    assert "its snapshot was removed" in dry.out
    assert dry.err == "snapfs: 1 directory, 8.0 KiB would be reclaimed\n"
    assert wet.err == "snapfs: 1 directory, 8.0 KiB reclaimed\n"
    assert again.out == ""


def test_cleanup_as_json_is_one_object_a_line(snapfs: CommandLine) -> None:
    snapfs.store.prepare("work")
    snapfs.store.remove("work")

    [record] = snapfs("cleanup", "--json").records

    assert record["usage"] == {"size_bytes": 8192, "inodes": 2}
    assert record["reason"]


def test_check_of_a_sound_store_is_exit_code_0(snapfs: CommandLine) -> None:
    outcome = snapfs("check")

    assert (outcome.code, outcome.out) == (0, "")
    assert snapfs("check", "--json").records == []


def test_check_with_a_warning_only_is_exit_code_0(snapfs: CommandLine) -> None:
    outcome = with_findings(snapfs, WARNING)("check")

    assert outcome.code == 0
    assert "old-trash" in outcome.out
    assert "1 warning" in outcome.err


def test_check_with_an_error_is_exit_code_7(snapfs: CommandLine) -> None:
    outcome = with_findings(snapfs, WARNING, ERROR)("check", "--json")

    assert outcome.code == 7
    assert outcome.records[1] == {
        "severity": "error",
        "code": "missing-directory",
        "subject": "base",
        "detail": "its files are gone",
    }


def test_quiet_leaves_the_data_only(snapfs: CommandLine) -> None:
    outcome = with_findings(snapfs, WARNING)("-q", "check")

    assert outcome.out
    assert outcome.err == ""


@pytest.fixture
def able(snapfs: CommandLine) -> CommandLine:
    is_trusted = fitting_prefix() is XattrPrefix.TRUSTED
    snapfs.features = [
        Feature("overlay-mount" if is_trusted else "userxattr-mount", True, "mounted"),
        Feature("trusted-xattrs" if is_trusted else "user-xattrs", True, "set one"),
        Feature("d-type", True, "listed"),
        Feature("erofs", False, "not there"),
    ]
    return snapfs


def test_doctor_shows_the_evidence_and_the_choice(able: CommandLine) -> None:
    outcome = able("doctor")

    assert outcome.code == 0
    assert "not there" in outcome.out
    assert "snapfs uses: kernel" in outcome.out


def test_doctor_as_json_is_one_document(able: CommandLine) -> None:
    document = able("doctor", "--json").document

    assert document["driver"] == "kernel"
    assert document["features"][3] == {
        "name": "erofs",
        "available": False,
        "evidence": "not there",
    }


def test_doctor_is_exit_code_6_where_nothing_works(able: CommandLine) -> None:
    able.features[0] = Feature(able.features[0].name, False, "EPERM")

    outcome = able("doctor")

    assert outcome.code == 6
    assert "snapfs uses: nothing" in outcome.out
    assert "EPERM" in outcome.out


def test_doctor_falls_back_to_fuse_and_says_why(able: CommandLine) -> None:
    able.features[0] = Feature(able.features[0].name, False, "EPERM")
    able.features += [
        Feature(name, True, "tried")
        for name in ("fuse-device", "fuse-mount", "fuse-storage")
    ]

    document = able("doctor", "--json").document

    assert document["driver"] == "fuse"
    assert "EPERM" in document["reason"]
    assert able("--driver", "kernel", "doctor").code == 6


def test_doctor_probes_the_nearest_directory_that_exists(able: CommandLine) -> None:
    document = able("doctor", "--json").document

    assert document["directory"] == str(able.root.parent)


def test_top_where_no_one_looks_is_one_look(snapfs: CommandLine) -> None:
    snapfs.store.prepare("work")

    lines = snapfs("top").out.splitlines()

    assert "1 snapshot" in lines[0]
    assert lines[-1].split()[-2:] == ["work", "-"]


def test_top_as_json_has_the_store_and_its_active_snapshots(
    snapfs: CommandLine,
) -> None:
    snapfs.store.prepare("work")

    document = snapfs("top", "--json").document

    assert document["store"]["snapshots"] == 1
    assert document["active"][0]["usage"]["size_bytes"] == 8192


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(snapfs: CommandLine, shell: str) -> None:
    outcome = snapfs("completion", shell)

    assert outcome.code == 0
    assert "_SNAPFS_COMPLETE" in outcome.out


def test_completion_of_an_unknown_shell_is_exit_code_2(snapfs: CommandLine) -> None:
    assert snapfs("completion", "tcsh").code == 2


def test_a_store_that_needs_no_repair_is_only_checked(snapfs: CommandLine) -> None:
    outcome = snapfs("check", "--repair")

    assert outcome.code == 0
    assert "nothing to repair" in outcome.err
    assert "every invariant holds" in outcome.err


def test_a_repair_says_what_was_made_kept_and_left_out(snapfs: CommandLine) -> None:
    snapfs.rebuilt = Rebuilt(2, "/root/metadata.db.damaged-1", ["'a': it is gone"])

    outcome = snapfs("check", "--repair")

    assert outcome.code == 0
    assert "left out: 'a': it is gone\n" in outcome.err
    assert "made anew with 2 snapshots" in outcome.err
    assert "metadata.db.damaged-1" in outcome.err
