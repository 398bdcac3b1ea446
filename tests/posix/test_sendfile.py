"""sendfile(2) and splice(2)."""

from __future__ import annotations

import errno
import os
import socket

from support.posix_descriptors import opened
from support.posix_errors import refused
from support.posix_objects import OLD_NS, directory, file, placed
from support.posix_place import Place

CONTENT = bytes(range(251)) * 200

pytestmark = placed(
    file("source", CONTENT), file("target", b"t" * 100), directory("directory")
)


def test_a_file_is_sent_to_a_socket(place: Place) -> None:
    one, two = socket.socketpair()
    with one, two, opened(place / "source") as fd:
        sent = os.sendfile(one.fileno(), fd, 10, 1000)

        assert two.recv(5000) == CONTENT[10 : 10 + sent]
        assert sent == 1000


def test_a_file_is_sent_to_a_file(place: Place) -> None:
    with (
        opened(place / "source") as source,
        opened(place / "target", os.O_WRONLY) as target,
    ):
        while os.sendfile(target, source, None, 1 << 20):
            pass

    assert (place / "target").read_bytes() == CONTENT
    assert os.stat(place / "source").st_mtime_ns == OLD_NS


def test_the_end_gives_nothing(place: Place) -> None:
    one, two = socket.socketpair()
    with one, two, opened(place / "source") as fd:
        assert os.sendfile(one.fileno(), fd, len(CONTENT), 10) == 0


def test_a_directory_is_not_sent(place: Place) -> None:
    one, two = socket.socketpair()
    with one, two, opened(place / "directory") as fd, refused(errno.EINVAL):
        os.sendfile(one.fileno(), fd, 0, 10)


def test_splice_moves_through_a_pipe(place: Place) -> None:
    reader, writer = os.pipe()
    try:
        with (
            opened(place / "source") as source,
            opened(place / "target", os.O_WRONLY) as target,
        ):
            moved = os.splice(source, writer, 5000, offset_src=3)
            assert os.splice(reader, target, moved) == moved
    finally:
        os.close(reader)
        os.close(writer)

    assert moved == 5000
    assert (place / "target").read_bytes() == CONTENT[3:5003]
