"""A place for a socket: what is refused, what is cleared, who removes it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from snapfs.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from snapfs.service.socket_path import MAX_PATH_BYTES, SocketPath, refuse_address


def listening(path: SocketPath) -> socket.socket:
    """Bind and listen as a server would."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path.bind_path)
    listener.listen()
    return listener


def stale(path: Path) -> None:
    """Leave a socket as a killed server does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_socket_has_its_mode_from_the_moment_that_it_exists(tmp_path: Path) -> None:
    place = SocketPath(str(tmp_path / "s"), mode=0o600)

    with listening(place):
        # Whatever the umask made of it, nobody else can reach it yet.
        (private,) = tmp_path.iterdir()
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        place.publish()
        mode = (tmp_path / "s").stat().st_mode
        left = list(tmp_path.iterdir())
        place.remove()

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert left == [tmp_path / "s"]


def test_published_socket_accepts_connections(tmp_path: Path) -> None:
    place = SocketPath(str(tmp_path / "s"))

    with listening(place) as listener, socket.socket(socket.AF_UNIX) as client:
        place.publish()
        client.connect(str(tmp_path / "s"))
        listener.accept()[0].close()
        place.remove()


def test_removal_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    place = SocketPath(str(tmp_path / "s"))
    with listening(place):
        place.publish()

    place.remove()
    place.remove()

    assert list(tmp_path.iterdir()) == []


def test_removal_before_publication_leaves_nothing(tmp_path: Path) -> None:
    place = SocketPath(str(tmp_path / "s"))
    listening(place).close()

    place.remove()

    assert list(tmp_path.iterdir()) == []


def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    stale(tmp_path / "s")

    place = SocketPath(str(tmp_path / "s"))
    with listening(place):
        place.publish()
        place.remove()

    assert list(tmp_path.iterdir()) == []


def test_live_socket_is_refused_by_its_address(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()

        with pytest.raises(FailedPreconditionError, match="another process") as caught:
            SocketPath(address)

    assert repr(address) in str(caught.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "s"]


def test_live_socket_with_a_full_queue_is_refused(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(address)

            with pytest.raises(FailedPreconditionError, match="another process"):
                SocketPath(address)


def test_datagram_socket_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "s"))

        with pytest.raises(FailedPreconditionError, match="another process"):
            SocketPath(str(tmp_path / "s"))

    assert (tmp_path / "s").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "symlink to a socket"])
def test_what_is_not_a_socket_is_never_removed(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "s"
    if kind == "file":
        place.write_bytes(b"precious")
    elif kind == "directory":
        place.mkdir()
    else:
        stale(tmp_path / "other")
        place.symlink_to("other")
    before = sorted(os.scandir(tmp_path), key=lambda entry: entry.name)

    with pytest.raises(FailedPreconditionError, match="not a socket"):
        SocketPath(str(place))

    after = sorted(os.scandir(tmp_path), key=lambda entry: entry.name)
    assert [e.inode() for e in before] == [e.inode() for e in after]


def test_file_that_appears_before_publication_is_kept(tmp_path: Path) -> None:
    place = SocketPath(str(tmp_path / "s"))
    with listening(place):
        (tmp_path / "s").write_bytes(b"precious")

        with pytest.raises(FailedPreconditionError):
            place.publish()

    place.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert (tmp_path / "s").read_bytes() == b"precious"


def test_socket_that_another_server_made_since_is_kept(tmp_path: Path) -> None:
    first = SocketPath(str(tmp_path / "s"))
    with listening(first):
        first.publish()
    second = SocketPath(str(tmp_path / "s"))
    with listening(second):
        second.publish()

        first.remove()

        assert (tmp_path / "s").is_socket()
        second.remove()
    assert list(tmp_path.iterdir()) == []


def test_missing_directories_are_made_for_passing_through(tmp_path: Path) -> None:
    old_umask = os.umask(0o077)
    try:
        place = SocketPath(str(tmp_path / "a" / "b" / "s"))
        place.remove()
    finally:
        os.umask(old_umask)

    for directory in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o711


def test_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    SocketPath(str(tmp_path / "s")).remove()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


def test_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")

    with pytest.raises(FailedPreconditionError):
        SocketPath(str(tmp_path / "a" / "s"))


def test_path_too_long_for_the_kernel_is_refused_with_the_limit(tmp_path: Path) -> None:
    name = "x" * (MAX_PATH_BYTES - len(os.fsencode(tmp_path)))

    with pytest.raises(InvalidArgumentError, match=r"108 bytes.*limit.*107"):
        SocketPath(f"{tmp_path}/{name}")

    assert list(tmp_path.iterdir()) == []


def test_longest_path_that_the_kernel_takes_works(tmp_path: Path) -> None:
    name = "x" * (MAX_PATH_BYTES - len(os.fsencode(tmp_path)) - 1)
    address = f"{tmp_path}/{name}"
    place = SocketPath(address)

    with listening(place), socket.socket(socket.AF_UNIX) as client:
        place.publish()
        client.connect(address)
        place.remove()


@pytest.mark.parametrize("address", ["", "s", "./s", "/", "/tmp/", "/tmp/a\0b"])
def test_address_that_is_no_absolute_path_of_a_file_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgumentError, match="absolute path"):
        SocketPath(address)


def test_a_place_that_is_free_passes_and_nothing_is_made(tmp_path: Path) -> None:
    refuse_address(str(tmp_path / "s"))
    refuse_address(str(tmp_path / "a" / "b" / "s"))

    assert list(tmp_path.iterdir()) == []


def test_a_stale_socket_passes_and_stays_until_it_is_replaced(tmp_path: Path) -> None:
    stale(tmp_path / "s")

    refuse_address(str(tmp_path / "s"))

    assert (tmp_path / "s").is_socket()


@pytest.mark.parametrize("kind", ["file", "live socket"])
def test_a_taken_place_is_refused_before_anything_is_made(
    tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "file":
            place.touch()
        else:
            listener.bind(str(place))
            listener.listen()

        with pytest.raises(FailedPreconditionError, match="s'"):
            refuse_address(str(place))

    assert list(tmp_path.iterdir()) == [place]


def test_a_directory_that_cannot_be_made_names_the_socket() -> None:
    with pytest.raises(UnavailableError, match=r"'/proc/snapfs/s'.*another --address"):
        SocketPath("/proc/snapfs/s")
