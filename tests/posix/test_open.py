"""open(2): every flag, on what was there before and on what was not."""

from __future__ import annotations

import errno
import mmap
import os
import stat
from pathlib import Path

import pytest

from support.posix_calls import AT_SYMLINK_FOLLOW, linkat
from support.posix_descriptors import opened, reopened
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    OLD_NS,
    USER,
    bound_socket,
    directory,
    fifo,
    file,
    itself,
    node,
    placed,
    symlink,
)
from support.posix_place import Place
from support.posix_processes import as_user

pytestmark = placed(
    file("file", b"content"),
    directory("directory"),
    symlink("link", "file"),
    symlink("dangling", "missing"),
    symlink("loop", "loop"),
    symlink("to-directory", "directory"),
    bound_socket("socket"),
    fifo("fifo"),
)


@pytest.mark.parametrize(
    ("name", "flags", "code"),
    [
        pytest.param("missing", os.O_RDONLY, errno.ENOENT, id="missing"),
        pytest.param("missing", os.O_WRONLY, errno.ENOENT, id="missing-written"),
        pytest.param("missing/x", os.O_CREAT, errno.ENOENT, id="missing-parent"),
        pytest.param("dangling", os.O_RDONLY, errno.ENOENT, id="dangling-link"),
        pytest.param("file/x", os.O_RDONLY, errno.ENOTDIR, id="below-a-file"),
        pytest.param("file/x", os.O_CREAT, errno.ENOTDIR, id="create-below-a-file"),
        pytest.param("file/", os.O_RDONLY, errno.ENOTDIR, id="file-and-slash"),
        pytest.param("new/", os.O_CREAT, errno.EISDIR, id="create-with-a-slash"),
        pytest.param("loop", os.O_RDONLY, errno.ELOOP, id="link-to-itself"),
        pytest.param("link", os.O_NOFOLLOW, errno.ELOOP, id="nofollow-link"),
        pytest.param(
            "link", os.O_NOFOLLOW | os.O_CREAT, errno.ELOOP, id="nofollow-create"
        ),
        pytest.param("file", os.O_CREAT | os.O_EXCL, errno.EEXIST, id="exclusive-file"),
        pytest.param(
            "directory", os.O_CREAT | os.O_EXCL, errno.EEXIST, id="exclusive-directory"
        ),
        pytest.param("link", os.O_CREAT | os.O_EXCL, errno.EEXIST, id="exclusive-link"),
        pytest.param(
            "dangling", os.O_CREAT | os.O_EXCL, errno.EEXIST, id="exclusive-dangling"
        ),
        pytest.param("file", os.O_DIRECTORY, errno.ENOTDIR, id="directory-of-file"),
        pytest.param("link", os.O_DIRECTORY, errno.ENOTDIR, id="directory-of-link"),
        pytest.param(
            "to-directory",
            os.O_DIRECTORY | os.O_NOFOLLOW,
            errno.ENOTDIR,
            id="directory-nofollow",
        ),
        pytest.param("directory", os.O_WRONLY, errno.EISDIR, id="write-directory"),
        pytest.param("directory", os.O_RDWR, errno.EISDIR, id="update-directory"),
        pytest.param("directory", os.O_CREAT, errno.EISDIR, id="create-directory"),
        pytest.param(
            "directory", os.O_RDONLY | os.O_TRUNC, errno.EISDIR, id="empty-directory"
        ),
        pytest.param("socket", os.O_RDONLY, errno.ENXIO, id="socket"),
        pytest.param(
            "fifo", os.O_WRONLY | os.O_NONBLOCK, errno.ENXIO, id="fifo-unread"
        ),
        pytest.param("", os.O_TMPFILE, errno.EINVAL, id="unnamed-read-only"),
        pytest.param(
            "file", os.O_TMPFILE | os.O_RDWR, errno.ENOTDIR, id="unnamed-in-file"
        ),
    ],
)
def test_open_refuses(place: Place, name: str, flags: int, code: int) -> None:
    before = os.listdir(place.path)

    with refused(code):
        os.close(os.open(f"{place.path}/{name}", flags))  # a Path drops the slash

    assert os.listdir(place.path) == before


def test_open_refuses_an_empty_path(place: Place) -> None:
    with opened(place.path) as here, refused(errno.ENOENT):
        os.close(os.open("", os.O_RDONLY, dir_fd=here))


@pytest.mark.parametrize("name", ["file", "link"])
@pytest.mark.parametrize("access", [os.O_RDONLY, os.O_RDWR], ids=["read", "update"])
@pytest.mark.parametrize("extra", [0, os.O_CREAT, os.O_APPEND, os.O_SYNC])
def test_open_of_a_file_leaves_its_content(
    place: Place, name: str, access: int, extra: int
) -> None:
    with opened(place / name, access | extra) as fd:
        content = os.read(fd, 100)

    assert content == b"content"
    assert os.stat(place / "file").st_mtime_ns == OLD_NS


@pytest.mark.parametrize("access", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
@pytest.mark.parametrize("name", ["file", "link"])
def test_o_trunc_empties_a_file(place: Place, name: str, access: int) -> None:
    ino = os.stat(place / "file").st_ino

    with opened(place / name, access | os.O_TRUNC) as fd:
        size = os.fstat(fd).st_size

    assert size == 0
    status = os.stat(place / "file")
    assert (status.st_size, status.st_ino) == (0, ino)
    assert status.st_mtime_ns > OLD_NS


@pytest.mark.parametrize("name", ["new", "dangling"])
def test_o_creat_makes_a_file_also_through_a_link(place: Place, name: str) -> None:
    with opened(place / name, os.O_CREAT | os.O_RDWR, 0o640) as fd:
        os.write(fd, b"made")

    made = place / ("missing" if name == "dangling" else name)
    assert made.read_bytes() == b"made"
    assert stat.S_IMODE(os.lstat(made).st_mode) == 0o640


def test_o_creat_of_a_read_only_mode_gives_a_writable_descriptor(place: Place) -> None:
    with opened(place / "new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o400) as fd:
        os.write(fd, b"written")

    assert (place / "new").read_bytes() == b"written"


def test_o_append_writes_at_the_end_wherever_the_offset_is(place: Place) -> None:
    with opened(place / "file", os.O_RDWR | os.O_APPEND) as fd:
        os.lseek(fd, 2, os.SEEK_SET)
        os.write(fd, b" more")
        end = os.lseek(fd, 0, os.SEEK_CUR)

    assert end == 12
    assert (place / "file").read_bytes() == b"content more"


def test_a_descriptor_permits_only_its_access_mode(place: Place) -> None:
    with opened(place / "file", os.O_RDONLY) as fd, refused(errno.EBADF):
        os.write(fd, b"x")
    with opened(place / "file", os.O_WRONLY) as fd, refused(errno.EBADF):
        os.read(fd, 1)


@pytest.mark.parametrize("name", ["file", "directory", "fifo", "socket"])
def test_o_path_names_an_object_and_no_more(place: Place, name: str) -> None:
    with opened(place / name, os.O_PATH) as fd:
        assert os.fstat(fd).st_ino == os.stat(place / name).st_ino
        for action in (
            lambda: os.read(fd, 1),
            lambda: os.fchmod(fd, 0o600),
            lambda: os.fsync(fd),
        ):
            with refused(errno.EBADF):
                action()


def test_o_path_with_nofollow_opens_the_link_itself(place: Place) -> None:
    with opened(place / "link", os.O_PATH | os.O_NOFOLLOW) as fd:
        assert stat.S_ISLNK(os.fstat(fd).st_mode)
        assert os.readlink("", dir_fd=fd) == "file"


def test_an_o_path_directory_is_a_start_for_other_calls(place: Place) -> None:
    with opened(place / "directory", os.O_PATH) as here:
        fd = os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.close(fd)

    assert os.listdir(place / "directory") == ["new"]


def test_o_tmpfile_makes_a_file_without_a_name(place: Place) -> None:
    before = sorted(os.listdir(place.path))

    with opened(place.path, os.O_TMPFILE | os.O_RDWR, 0o604) as fd:
        os.write(fd, b"unnamed")
        status = os.fstat(fd)
        assert os.pread(fd, 100, 0) == b"unnamed"

    assert (status.st_nlink, status.st_size) == (0, 7)
    assert stat.S_IMODE(status.st_mode) == 0o604
    assert sorted(os.listdir(place.path)) == before


def test_an_unnamed_file_can_be_given_a_name(place: Place) -> None:
    with opened(place / "directory", os.O_TMPFILE | os.O_RDWR, 0o600) as fd:
        os.write(fd, b"unnamed")
        ino = os.fstat(fd).st_ino
        os.link(reopened(fd), place / "named", src_dir_fd=fd, follow_symlinks=True)
        os.write(fd, b" no more")

    assert (place / "named").read_bytes() == b"unnamed no more"
    assert os.stat(place / "named").st_ino == ino
    assert os.stat(place / "named").st_nlink == 1


def test_an_unnamed_file_made_with_o_excl_stays_unnamed(place: Place) -> None:
    flags = os.O_TMPFILE | os.O_RDWR | os.O_EXCL
    with opened(place.path, flags) as fd, refused(errno.ENOENT):
        linkat(Path(reopened(fd)), place / "named", AT_SYMLINK_FOLLOW)


def test_o_noatime_is_for_the_owner(place: Place) -> None:
    flags = os.O_RDONLY | os.O_NOATIME

    with opened(place / "file", flags) as fd:
        os.read(fd, 100)
    with refused(errno.EPERM):
        as_user(lambda: os.close(os.open(place / "file", flags)), USER, GROUP)

    assert os.stat(place / "file").st_atime_ns == OLD_NS


def test_a_fifo_opened_for_reading_without_a_writer_gives_its_end(place: Place) -> None:
    with opened(place / "fifo", os.O_RDONLY | os.O_NONBLOCK) as fd:
        assert os.read(fd, 10) == b""


def test_a_fifo_carries_data_between_two_descriptors(place: Place) -> None:
    with (
        opened(place / "fifo", os.O_RDONLY | os.O_NONBLOCK) as reader,
        opened(place / "fifo", os.O_WRONLY) as writer,
    ):
        os.write(writer, b"through")

        assert os.read(reader, 100) == b"through"


@placed(node("null", stat.S_IFCHR | 0o666, 1, 3))
def test_a_device_node_opens_the_device(place: Place) -> None:
    with opened(place / "null", os.O_RDWR) as fd:
        assert os.write(fd, b"into nothing") == 12
        assert os.read(fd, 10) == b""


@placed(file("aligned", bytes(range(256)) * 32))
def test_o_direct_reads_and_writes_whole_blocks(place: Place) -> None:
    page = mmap.mmap(-1, 4096)  # aligned, which O_DIRECT needs

    with opened(place / "aligned", os.O_RDWR | os.O_DIRECT) as fd:
        assert os.preadv(fd, [page], 4096) == 4096
        content = bytes(page)
        assert os.pwritev(fd, [page], 8192) == 4096

    assert content == bytes(range(256)) * 16
    assert (place / "aligned").read_bytes() == bytes(range(256)) * 48


def test_a_reader_sees_what_is_written_through_a_later_open(place: Place) -> None:
    with opened(place / "file") as reader:
        ino = os.fstat(reader).st_ino
        with opened(place / "file", os.O_WRONLY) as writer:
            os.write(writer, b"CONTENT")

        assert os.read(reader, 100) == b"CONTENT"
        assert os.fstat(reader).st_ino == ino


@placed(itself(mode=0o777))
def test_a_new_file_belongs_to_who_makes_it(place: Place) -> None:
    as_user(lambda: os.close(os.open(place / "new", os.O_CREAT)), USER, GROUP)

    status = os.stat(place / "new")
    assert (status.st_uid, status.st_gid) == (USER, GROUP)
