"""The mode ``io``: the kernel moves the data, and lower files cannot be written."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snapfs.fuse.operations.opens import PASSED_BYTES
from support.fuse_mounts import HELPER, MountedUnion, helper_environment, mounted_union
from support.posix_processes import as_user

pytestmark = [pytest.mark.fuse, pytest.mark.root]

SIZE = 4 * PASSED_BYTES
OLD, NEW = b"old!", b"new!"


@pytest.fixture
def union(tmp_path: Path) -> Iterator[MountedUnion]:
    """A traced mount of the mode, above a layer that must stay as it is."""
    lower, upper, work, merged = (
        tmp_path / name for name in ("lower", "upper", "work", "merged")
    )
    for path in (lower, upper, work, merged):
        path.mkdir()
    (lower / "large").write_bytes(OLD * (SIZE // len(OLD)))
    (lower / "small").write_bytes(OLD * 25)
    before = _digests(lower)
    with mounted_union([lower], upper, work, merged, ["mode=io", "debug"]) as mounted:
        yield mounted
    assert _digests(lower) == before
    assert not list((work / "work").iterdir())


def _digests(directory: Path) -> dict[str, tuple[str, int, int]]:
    return {
        path.name: (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
            path.stat().st_ctime_ns,
        )
        for path in directory.iterdir()
    }


@pytest.fixture(params=["large", "small"])
def path(request: pytest.FixtureRequest, union: MountedUnion) -> Path:
    """A lower file of each of the two ways of reading."""
    return union.mountpoint / str(request.param)


@pytest.fixture
def reader(path: Path) -> Iterator[int]:
    """A descriptor that somebody reads the file by, all the time."""
    fd = os.open(path, os.O_RDONLY)
    assert os.pread(fd, 4, 0) == OLD
    yield fd
    os.close(fd)


def _write(path: Path, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDWR | flags)
    with closing(os.fdopen(fd, "r+b", buffering=0)) as file:
        file.write(NEW)


def test_reading_a_large_file_costs_an_open_and_no_read(union: MountedUnion) -> None:
    union.messages()

    data = (union.mountpoint / "large").read_bytes()

    messages = union.messages()
    assert len(data) == SIZE
    assert messages["OPEN"] == 1
    assert messages["READ"] == 0


def test_writing_a_new_file_costs_no_write(union: MountedUnion) -> None:
    union.messages()

    (union.mountpoint / "new").write_bytes(b"x" * SIZE)

    messages = union.messages()
    assert messages["CREATE"] == 1
    assert messages["WRITE"] == messages["OPEN"] == messages["MKNOD"] == 0


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("flags", [0, os.O_TRUNC, os.O_APPEND])
def test_a_file_that_is_read_is_opened_for_writing(path: Path, flags: int) -> None:
    size = path.stat().st_size

    _write(path, flags)

    data = path.read_bytes()
    expected = {0: size, os.O_TRUNC: len(NEW), os.O_APPEND: size + len(NEW)}
    assert len(data) == expected[flags]
    assert (data[-4:] if flags == os.O_APPEND else data[:4]) == NEW


def test_a_shared_mapping_writes_to_the_copy(path: Path, reader: int) -> None:
    fd = os.open(path, os.O_RDWR)
    with closing(mmap.mmap(fd, 4096 if path.name == "large" else 100)) as mapped:
        mapped[:4] = NEW
        mapped.flush()
    os.close(fd)

    assert path.read_bytes()[:4] == NEW
    assert os.fstat(reader).st_ino == path.stat().st_ino


def test_who_read_before_the_first_write_sees_the_attributes_after_it(
    path: Path, reader: int
) -> None:
    _write(path, os.O_TRUNC)
    os.truncate(path, 12345)

    assert os.fstat(reader).st_size == 12345


def test_an_attribute_changed_through_a_reader_is_that_of_the_name(
    path: Path, reader: int
) -> None:
    _write(path)

    os.fchmod(reader, 0o640)
    os.setxattr(reader, "user.note", b"kept")

    assert path.stat().st_mode & 0o777 == 0o640
    assert os.getxattr(path, "user.note") == b"kept"


def test_an_attribute_changed_before_any_write_leaves_the_reader_reading(
    path: Path, reader: int
) -> None:
    os.fchmod(reader, 0o640)
    _write(path)

    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes()[:4] == NEW
    assert os.pread(reader, 4, 4) == OLD


def test_a_reader_opened_again_by_its_descriptor_reads_the_copy(
    path: Path, reader: int
) -> None:
    _write(path)

    with open(f"/proc/self/fd/{reader}", "rb") as again:
        assert again.read(4) == NEW


def test_an_unlinked_reader_goes_on_and_the_name_is_free(
    path: Path, reader: int
) -> None:
    os.unlink(path)
    path.write_bytes(NEW)

    assert os.fstat(reader).st_nlink == 0
    assert os.pread(reader, 4, 0) == OLD
    assert path.read_bytes() == NEW


def test_a_file_is_copied_up_while_nobody_reads_it_and_opened_again(
    path: Path,
) -> None:
    assert path.read_bytes()[:4] == OLD

    for _ in range(3):
        _write(path)
        assert path.read_bytes()[:4] == NEW


def test_a_renamed_copy_is_found_by_its_new_name(path: Path, reader: int) -> None:
    other = path.with_name("other")

    os.rename(path, other)
    _write(other)

    assert other.read_bytes()[:4] == NEW
    assert os.fstat(reader).st_ino == other.stat().st_ino


def test_in_a_user_namespace_the_mode_is_refused_and_says_why(tmp_path: Path) -> None:
    for name in ("lower", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path / 'lower'},mode=io"
    command = [*HELPER, "-o", options, "union", str(tmp_path / "merged")]

    found = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command],
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert found.returncode == 6
    assert "mode=io needs CAP_SYS_ADMIN in the initial user namespace" in found.stderr


def test_opening_with_truncation_takes_setgid_away_as_its_caller_would(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its group may not execute it: who is of the group keeps the bit, others do not.
    os.chmod(path, 0o2666)
    monkeypatch.chdir(path.parent)  # no other user comes in from above

    flags = os.O_WRONLY | os.O_TRUNC
    as_user(lambda: os.close(os.open(path.name, flags)), 1234, 1234)

    assert stat.S_IMODE(path.stat().st_mode) == 0o666
