"""Ten thousand open files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from support.posix_objects import directory, file, placed
from support.posix_place import Place

COUNT = 10_000
SPARE = 500


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open enough files."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = COUNT + SPARE
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, former[1])))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, former)


@placed(file("file", b"content"))
@pytest.mark.usefixtures("many_descriptors")
def test_one_file_is_opened_ten_thousand_times(place: Place) -> None:
    descriptors = []
    try:
        for _ in range(COUNT):
            descriptors.append(os.open(place / "file", os.O_RDONLY))  # noqa: PERF401
        (place / "file").write_bytes(b"changed")

        assert {os.pread(fd, 100, 0) for fd in descriptors[::97]} == {b"changed"}
    finally:
        for fd in descriptors:
            os.close(fd)


@placed(directory("directory"))
@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_files_are_opened_ten_times_each(place: Place) -> None:
    descriptors = []
    names = [f"{number}" for number in range(COUNT // 10)] * 10
    here = os.open(place / "directory", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            fd = os.open(name, os.O_CREAT | os.O_RDWR, dir_fd=here)
            descriptors.append(fd)
        for fd, name in zip(descriptors[::97], names[::97], strict=True):
            os.pwrite(fd, name.encode(), 0)

        for fd, name in zip(descriptors[::97], names[::97], strict=True):
            assert os.pread(fd, 10, 0) == name.encode()
        assert len(os.listdir(place / "directory")) == COUNT // 10
    finally:
        for fd in (*descriptors, here):
            os.close(fd)
