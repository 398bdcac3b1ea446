"""execve(2), and the files that run (ETXTBSY)."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import GROUP, USER, directory, file, placed
from support.posix_place import Place
from support.posix_processes import as_user

CAT = Path("/bin/cat").read_bytes()

pytestmark = placed(
    file("program", CAT, mode=0o755),
    file("script", b"#!/bin/sh\necho from the script\n", mode=0o755),
    file("closed", CAT, mode=0o644),
    file("set-id", Path("/usr/bin/id").read_bytes(), mode=0o4755, owner=(USER, GROUP)),
    file("nonsense", b"\x7fnonsense", mode=0o755),
    directory("directory"),
)


@contextmanager
def running(program: Path) -> Iterator[None]:
    """Have ``program``, a cat, wait for its input."""
    pipe = subprocess.PIPE
    with subprocess.Popen([program], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x")  # it answers: so it runs
        process.stdin.flush()
        assert process.stdout.read(1) == b"x"
        yield
        process.stdin.close()
        assert process.wait() == 0


def test_a_program_runs(place: Place) -> None:
    words = [place / "program", place / "script"]

    text = subprocess.run(words, check=True, capture_output=True).stdout

    assert text == b"#!/bin/sh\necho from the script\n"


def test_a_script_runs(place: Place) -> None:
    text = subprocess.run([place / "script"], check=True, capture_output=True).stdout

    assert text == b"from the script\n"


def test_a_changed_program_runs_as_changed(place: Place) -> None:
    with (place / "script").open("ab") as script:
        script.write(b"echo and more\n")

    text = subprocess.run([place / "script"], check=True, capture_output=True).stdout

    assert text == b"from the script\nand more\n"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("closed", errno.EACCES, id="not-executable"),
        pytest.param("directory", errno.EACCES, id="directory"),
        pytest.param("missing", errno.ENOENT, id="missing"),
        pytest.param("nonsense", errno.ENOEXEC, id="nonsense"),
    ],
)
def test_execve_refuses(place: Place, name: str, code: int) -> None:
    with refused(code):
        subprocess.run([place / name], check=False)


def test_a_set_user_id_program_runs_as_its_owner(place: Place) -> None:
    flags = os.statvfs(place.path).f_flag
    assert not flags & os.ST_NOSUID

    words: list[Path | str] = [place / "set-id", "-u"]
    text = subprocess.run(words, check=True, capture_output=True).stdout

    assert int(text) == USER


def test_a_program_made_executable_runs(place: Place) -> None:
    os.chmod(place / "closed", 0o755)

    words = [place / "closed", place / "nonsense"]
    assert subprocess.run(words, check=True, capture_output=True).stdout == (
        b"\x7fnonsense"
    )


def test_a_user_runs_only_what_the_mode_permits(place: Place) -> None:
    os.chmod(place / "script", 0o700)

    with refused(errno.EACCES):
        as_user(lambda: subprocess.run([place / "script"], check=False), USER, GROUP)


@pytest.mark.parametrize("access", [os.O_WRONLY, os.O_RDWR])
def test_a_running_program_is_not_opened_for_writing(place: Place, access: int) -> None:
    with running(place / "program"), refused(errno.ETXTBSY):
        os.close(os.open(place / "program", access))

    assert (place / "program").read_bytes() == CAT


def test_a_running_program_is_not_truncated(place: Place) -> None:
    with running(place / "program"), refused(errno.ETXTBSY):
        os.truncate(place / "program", 0)

    assert (place / "program").read_bytes() == CAT


def test_a_program_open_for_writing_is_not_run(place: Place) -> None:
    with opened(place / "program", os.O_WRONLY), refused(errno.ETXTBSY):
        subprocess.run([place / "program"], stdin=subprocess.DEVNULL, check=False)


def test_a_running_program_can_be_removed_renamed_and_replaced(place: Place) -> None:
    with running(place / "program"):
        os.chmod(place / "program", 0o700)
        os.rename(place / "program", place / "moved")
        (place / "program").write_bytes(b"another")
        os.unlink(place / "moved")

    assert (place / "program").read_bytes() == b"another"
    assert stat.S_IMODE(os.stat(place / "program").st_mode) != 0o700
