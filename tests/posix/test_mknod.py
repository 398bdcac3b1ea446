"""mknod(2): fifos, sockets, devices; and the device that unions keep for themselves."""

from __future__ import annotations

import errno
import os
import socket
import stat

import pytest

from support.posix_descriptors import opened, umask
from support.posix_errors import refused
from support.posix_objects import (
    GROUP,
    USER,
    bound_socket,
    directory,
    fifo,
    file,
    itself,
    node,
    placed,
)
from support.posix_place import Place
from support.posix_processes import as_user, in_child

KINDS = [
    pytest.param(stat.S_IFREG, (0, 0), id="file"),
    pytest.param(stat.S_IFIFO, (0, 0), id="fifo"),
    pytest.param(stat.S_IFSOCK, (0, 0), id="socket"),
    pytest.param(stat.S_IFCHR, (1, 3), id="character-device"),
    pytest.param(stat.S_IFCHR, (0, 1), id="character-device-major-0"),
    pytest.param(stat.S_IFBLK, (7, 200), id="block-device"),
    pytest.param(stat.S_IFBLK, (259, 70_000), id="big-numbers"),
]


@pytest.mark.parametrize(("kind", "device"), KINDS)
def test_mknod_makes(place: Place, kind: int, device: tuple[int, int]) -> None:
    with umask(0o026):
        os.mknod(place / "new", kind | 0o666, os.makedev(*device))

    status = os.lstat(place / "new")
    assert stat.S_IFMT(status.st_mode) == kind
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == device
    assert (status.st_nlink, status.st_size) == (1, 0)


@pytest.mark.parametrize(("kind", "device"), KINDS)
def test_mknod_refuses_a_name_that_is_taken(
    place: Place, kind: int, device: tuple[int, int]
) -> None:
    os.mkdir(place / "taken")

    with refused(errno.EEXIST):
        os.mknod(place / "taken", kind | 0o666, os.makedev(*device))


@placed(
    fifo("fifo", mode=0o604),
    bound_socket("socket"),
    node("character", stat.S_IFCHR | 0o620, 1, 5),
    node("block", stat.S_IFBLK | 0o660, 259, 70_000),
)
@pytest.mark.parametrize("name", ["fifo", "socket", "character", "block"])
def test_special_files_keep_kind_and_number_when_changed(
    place: Place, name: str
) -> None:
    before = os.lstat(place / name)

    os.chmod(place / name, 0o777)
    os.rename(place / name, place / "moved")

    after = os.lstat(place / "moved")
    assert stat.S_IFMT(after.st_mode) == stat.S_IFMT(before.st_mode)
    assert stat.S_IMODE(after.st_mode) == 0o777
    assert after.st_rdev == before.st_rdev
    assert after.st_ino == before.st_ino


def test_the_device_of_whiteouts_is_refused_by_unions(place: Place) -> None:
    # A character device 0:0 in an upper layer would hide a name: overlayfs.md 1.2.
    def make() -> int:
        try:
            os.mknod(place / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
        except OSError as error:
            return error.errno or -1
        return 0

    result = make()

    expected = place.expected(
        0,
        because="private to unions",
        kernel=errno.EPERM,
        fuse=errno.EPERM,
        io=errno.EPERM,
    )
    assert result == expected
    assert os.listdir(place.path) == ([] if place.is_union else ["whiteout"])


@placed(itself(mode=0o777))
def test_a_user_makes_fifos_but_no_devices(place: Place) -> None:
    def device() -> None:
        os.mknod(place / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    as_user(lambda: os.mkfifo(place / "fifo"), USER, GROUP)
    with refused(errno.EPERM):
        as_user(device, USER, GROUP)

    status = os.lstat(place / "fifo")
    assert (status.st_uid, status.st_gid) == (USER, GROUP)
    assert os.listdir(place.path) == ["fifo"]


@placed(fifo("fifo"))
def test_a_fifo_connects_two_processes(place: Place) -> None:
    with opened(place / "fifo", os.O_RDONLY | os.O_NONBLOCK) as reader:

        def send() -> int:
            with opened(place / "fifo", os.O_WRONLY) as writer:
                return os.write(writer, b"message")

        assert in_child(send) == 7
        assert os.read(reader, 100) == b"message"


@placed(directory("run"), file("run/other"))
def test_a_bound_socket_is_connected_to_through_its_name(place: Place) -> None:
    with (
        opened(place / "run", os.O_RDONLY | os.O_DIRECTORY) as here,
        socket.socket(socket.AF_UNIX) as server,
        socket.socket(socket.AF_UNIX) as client,
    ):
        address = f"/proc/self/fd/{here}/socket"
        server.bind(address)
        server.listen()

        client.connect(address)
        client.sendall(b"hello")

        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(10) == b"hello"
    assert stat.S_ISSOCK(os.lstat(place / "run/socket").st_mode)


@placed(fifo("gone"))
@pytest.mark.parametrize(("kind", "device"), KINDS)
def test_mknod_makes_where_a_name_was_removed(
    place: Place, kind: int, device: tuple[int, int]
) -> None:
    os.unlink(place / "gone")

    os.mknod(place / "gone", kind | 0o600, os.makedev(*device))

    status = os.lstat(place / "gone")
    assert stat.S_IFMT(status.st_mode) == kind
    assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == device
    assert os.listdir(place.path) == ["gone"]
