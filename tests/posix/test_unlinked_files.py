"""Files that have no name any more and are still open."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from support.posix_calls import FALLOC_FL_KEEP_SIZE, fallocate
from support.posix_descriptors import opened, reopened
from support.posix_errors import refused
from support.posix_objects import directory, fifo, file, placed
from support.posix_place import Place

pytestmark = placed(
    file("file", b"content"), file("other", b"other"), directory("directory")
)


@pytest.mark.parametrize("way", ["unlink", "rename-over"])
def test_an_open_file_is_read_and_written_after_its_name_is_gone(
    place: Place, way: str
) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        if way == "unlink":
            os.unlink(place / "file")
        else:
            os.rename(place / "other", place / "file")

        assert os.read(fd, 100) == b"content"
        os.pwrite(fd, b"CON", 0)
        os.pwrite(fd, b"more", 7)
        assert os.pread(fd, 100, 0) == b"CONtentmore"
        assert os.fstat(fd).st_size == 11


def test_a_reader_goes_on_reading(place: Place) -> None:
    with opened(place / "file") as fd:
        assert os.read(fd, 3) == b"con"
        os.unlink(place / "file")

        assert os.read(fd, 100) == b"tent"
        assert stat.S_ISREG(os.fstat(fd).st_mode)


def test_the_link_count_of_a_written_file_is_zero(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.unlink(place / "file")

        assert os.fstat(fd).st_nlink == 0


def test_the_link_count_of_a_read_file_is_zero(place: Place) -> None:
    with opened(place / "file") as fd:
        os.unlink(place / "file")

        links = place.expected(
            0,
            because="the count is the lower file's, which stays: overlayfs.md 2.7",
            kernel_lower=1,
        )
        assert os.fstat(fd).st_nlink == links


def test_the_number_stays(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        ino = os.fstat(fd).st_ino
        os.unlink(place / "file")
        os.write(fd, b"x")

        assert os.fstat(fd).st_ino == ino


def test_size_mode_owner_times_and_attributes_are_changed(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.unlink(place / "file")

        os.ftruncate(fd, 3)
        os.fchmod(fd, 0o600)
        os.fchown(fd, 5, 6)
        os.utime(fd, ns=(7, 8))
        os.setxattr(fd, "user.new", b"value")
        status = os.fstat(fd)
        value = os.getxattr(fd, "user.new")

        assert os.pread(fd, 100, 0) == b"con"
    assert (status.st_size, stat.S_IMODE(status.st_mode)) == (3, 0o600)
    assert (status.st_uid, status.st_gid, status.st_mtime_ns) == (5, 6, 8)
    assert value == b"value"


def test_a_file_opened_for_reading_alone_is_changed_too(place: Place) -> None:
    # overlayfs.md 2.7: the kernel cannot copy up what has no name any more.
    with opened(place / "file") as fd:
        os.unlink(place / "file")

        if place.driver == "kernel" and place.is_lower:
            with refused(errno.EEXIST, errno.ENOENT, errno.ESTALE):
                os.fchmod(fd, 0o600)
        else:
            os.fchmod(fd, 0o600)
            assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        assert os.pread(fd, 100, 0) == b"content"


def test_it_can_be_opened_again_through_proc(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.unlink(place / "file")
        os.pwrite(fd, b"CON", 0)

        with opened(reopened(fd), os.O_RDWR) as again:
            assert os.read(again, 100) == b"CONtent"
            os.pwrite(again, b"tail", 3)

        assert os.pread(fd, 100, 0) == b"CONtail"


def test_a_new_file_of_the_name_is_another_file(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.unlink(place / "file")
        (place / "file").write_bytes(b"new")
        os.pwrite(fd, b"old", 0)

        assert (place / "file").read_bytes() == b"new"
        assert os.fstat(fd).st_ino != os.stat(place / "file").st_ino
        assert os.pread(fd, 100, 0) == b"oldtent"


def test_what_was_allocated_for_it_is_used(place: Place) -> None:
    with opened(place / "file", os.O_RDWR) as fd:
        os.unlink(place / "file")

        fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 16)
        os.fsync(fd)

        assert os.fstat(fd).st_blocks * 512 >= 1 << 16


def test_it_leaves_nothing_in_its_directory(place: Place) -> None:
    (place / "directory/child").write_bytes(b"child")
    with opened(place / "directory/child", os.O_RDWR) as fd:
        os.unlink(place / "directory/child")
        os.write(fd, b"still here")

        assert os.listdir(place / "directory") == []
        os.rmdir(place / "directory")
        assert os.pread(fd, 100, 0) == b"still here"


@placed(fifo("fifo"))
def test_an_unlinked_fifo_goes_on(place: Place) -> None:
    with opened(place / "fifo", os.O_RDWR) as fd:
        os.unlink(place / "fifo")
        os.write(fd, b"through")

        assert os.read(fd, 100) == b"through"


def test_many_unlinked_files_keep_apart(place: Place) -> None:
    descriptors = []
    try:
        for number in range(50):
            path = place / f"file-{number}"
            fd = os.open(path, os.O_CREAT | os.O_RDWR)
            descriptors.append(fd)
            os.write(fd, b"%d" % number)
            os.unlink(path)

        found = [os.pread(fd, 10, 0) for fd in descriptors]
    finally:
        for fd in descriptors:
            os.close(fd)

    assert found == [b"%d" % number for number in range(50)]
