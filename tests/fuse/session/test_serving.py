from __future__ import annotations

import dataclasses
import errno
import logging
import os
from pathlib import Path

import pytest

from snapfs.fuse.session import Reply, Request
from snapfs.fuse.wire import InitFlag, Opcode, Wishes
from support.fuse_memory import WISHES, MemoryFilesystem, served
from support.refusals import refused

pytestmark = [pytest.mark.root, pytest.mark.fuse]


def test_names_and_contents_are_served(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"first", b"b": b"x" * 300_000})

    with served(filesystem, tmp_path / "mnt"):
        names = sorted(os.listdir(tmp_path / "mnt"))
        first = (tmp_path / "mnt" / "a").read_bytes()
        second = (tmp_path / "mnt" / "b").read_bytes()

    assert names == ["a", "b"]
    assert (first, second) == (b"first", b"x" * 300_000)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"old contents"})
    content = bytes(range(256)) * 8192

    with served(filesystem, tmp_path / "mnt"):
        (tmp_path / "mnt" / "a").write_bytes(content)
        again = (tmp_path / "mnt" / "a").read_bytes()

    assert bytes(filesystem.data[0]) == again == content


def test_an_error_number_reaches_the_caller(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})

    def refuse(_request: Request) -> Reply:
        return -errno.EDQUOT

    filesystem.handlers[Opcode.UNLINK] = refuse
    with served(filesystem, tmp_path / "mnt"):
        with pytest.raises(FileNotFoundError):
            os.stat(tmp_path / "mnt" / "missing")
        with refused(errno.EDQUOT):
            os.unlink(tmp_path / "mnt" / "a")


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        pytest.param(PermissionError(errno.EACCES, "no"), errno.EACCES, id="errno"),
        pytest.param(OSError(524, "ENOTSUPP"), errno.EIO, id="kernel-internal errno"),
        pytest.param(OSError("no number"), errno.EIO, id="no errno"),
        pytest.param(ZeroDivisionError(), errno.EIO, id="a bug"),
    ],
)
def test_an_exception_is_answered_and_the_mount_lives_on(
    tmp_path: Path, raised: Exception, seen: int
) -> None:
    filesystem = MemoryFilesystem({b"a": b"alive"})

    def fail(_request: Request) -> Reply:
        raise raised

    filesystem.handlers[Opcode.UNLINK] = fail
    with served(filesystem, tmp_path / "mnt"):
        with refused(seen):
            os.unlink(tmp_path / "mnt" / "a")
        content = (tmp_path / "mnt" / "a").read_bytes()

    assert content == b"alive"


def test_a_bug_is_logged_with_its_operation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filesystem = MemoryFilesystem({b"a": b""})

    def fail(_request: Request) -> Reply:
        raise LookupError("a slip")

    filesystem.handlers[Opcode.UNLINK] = fail
    with (
        caplog.at_level(logging.ERROR),
        served(filesystem, tmp_path / "mnt"),
        refused(errno.EIO),
    ):
        os.unlink(tmp_path / "mnt" / "a")

    assert "UNLINK failed; answered EIO" in caplog.text
    assert "a slip" in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"x" * 10, id="too short"),
        pytest.param(b"x" * 1000, id="too long"),
        pytest.param(5, id="a positive number"),
        pytest.param(-1000, id="no errno"),
        pytest.param("text", id="no bytes"),
    ],
)
def test_a_malformed_reply_is_an_error_and_the_mount_lives_on(
    tmp_path: Path, reply: Reply
) -> None:
    filesystem = MemoryFilesystem({b"a": b"alive"})

    def fail(_request: Request) -> Reply:
        return reply

    filesystem.handlers[Opcode.SETATTR] = fail
    with served(filesystem, tmp_path / "mnt"):
        with refused(errno.EIO):
            os.chmod(tmp_path / "mnt" / "a", 0o600)
        content = (tmp_path / "mnt" / "a").read_bytes()

    assert content == b"alive"


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((b"ab", b"", bytearray(b"cd"), memoryview(b"ef")), id="tuple"),
        pytest.param([b"abc", b"def"], id="list"),
        pytest.param(bytearray(b"abcdef"), id="bytearray"),
        pytest.param(memoryview(b"abcdef"), id="memoryview"),
    ],
)
def test_a_payload_may_come_in_pieces(tmp_path: Path, pieces: Reply) -> None:
    filesystem = MemoryFilesystem({b"a": b"......"})

    def read(_request: Request) -> Reply:
        return pieces

    filesystem.handlers[Opcode.READ] = read
    with served(filesystem, tmp_path / "mnt"):
        content = (tmp_path / "mnt" / "a").read_bytes()

    assert content == b"abcdef"


def test_an_operation_without_a_handler_is_not_supported(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})

    with served(filesystem, tmp_path / "mnt"), refused(errno.ENOSYS):
        os.symlink("x", tmp_path / "mnt" / "link")


def test_a_request_tells_who_calls(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})
    callers = []

    def note(request: Request) -> Reply:
        callers.append((request.uid, request.gid, request.pid))
        return filesystem.unlink(request)

    filesystem.handlers[Opcode.UNLINK] = note
    with served(filesystem, tmp_path / "mnt"):
        os.unlink(tmp_path / "mnt" / "a")

    assert callers == [(os.getuid(), os.getgid(), os.getpid())]


def test_the_extensions_of_a_request_are_apart_from_its_body(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b""})
    seen: list[tuple[bytes, bytes]] = []

    def refuse(request: Request) -> Reply:
        seen.append((bytes(request.body), bytes(request.extensions or b"")))
        return -errno.EPERM

    filesystem.handlers[Opcode.MKDIR] = refuse
    wishes = Wishes(flags=InitFlag.CREATE_SUPP_GROUP)
    with served(filesystem, tmp_path / "mnt", wishes=wishes) as session:
        if not (session.negotiated and session.negotiated.flags):
            pytest.skip("the kernel does not offer CREATE_SUPP_GROUP")
        # The kernel sends the one group that matters: the parent's, if we are in it.
        with pytest.raises(PermissionError):
            os.mkdir(tmp_path / "mnt" / "new")

    [(body, extensions)] = seen
    assert body[8:] == b"new\0"
    assert len(extensions) % 8 == 0


def test_forgotten_nodes_are_told_one_by_one(tmp_path: Path) -> None:
    names = [b"%d" % number for number in range(200)]
    filesystem = MemoryFilesystem(dict.fromkeys(names, b""))

    with served(filesystem, tmp_path / "mnt") as session:
        for name in names:
            os.stat(os.fsencode(tmp_path / "mnt") + b"/" + name)
        told = session.notifier.prune(range(2, 202))
        # Answered after the FORGETs that it comes behind.
        os.listdir(tmp_path / "mnt")

    assert told
    assert sorted(filesystem.forgotten) == list(range(2, 202))


def test_an_older_protocol_serves_as_well(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"first"})

    with served(
        filesystem, tmp_path / "mnt", wishes=dataclasses.replace(WISHES, minor=31)
    ) as session:
        content = (tmp_path / "mnt" / "a").read_bytes()
        (tmp_path / "mnt" / "a").write_bytes(b"second")
        negotiated = session.negotiated

    assert content == b"first"
    assert bytes(filesystem.data[0]) == b"second"
    assert negotiated is not None
    assert negotiated.minor == 31
    assert not negotiated.flags >> 32


def test_requests_and_replies_are_counted(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"first"})

    with served(filesystem, tmp_path / "mnt") as session:
        (tmp_path / "mnt" / "a").read_bytes()
        with pytest.raises(FileNotFoundError):
            os.stat(tmp_path / "mnt" / "missing")
        counted = session.statistics

    names = counted.by_name()
    assert names["LOOKUP"] == 2
    assert names["READ"] == 1
    assert counted.replies >= sum(names.values()) - names.get("FORGET", 0)
    assert counted.errors >= 1
    assert counted.bytes_in > 40 * counted.replies
    assert counted.bytes_out > 128


def test_a_trace_sees_each_reply_until_it_is_taken_away(tmp_path: Path) -> None:
    filesystem = MemoryFilesystem({b"a": b"", b"b": b"", b"c": b""})
    seen: list[tuple[int, int, object]] = []

    def fail(_request: Request) -> Reply:
        raise PermissionError(errno.EACCES, "no")

    filesystem.handlers[Opcode.SETATTR] = fail
    with served(filesystem, tmp_path / "mnt") as session:
        session.set_trace(
            lambda opcode, nodeid, reply: seen.append((opcode, nodeid, reply))
        )
        os.unlink(tmp_path / "mnt" / "a")
        with pytest.raises(PermissionError):
            os.chmod(tmp_path / "mnt" / "b", 0)
        session.set_trace(None)
        os.unlink(tmp_path / "mnt" / "c")

    assert (Opcode.UNLINK, 1, b"") in seen
    assert (Opcode.SETATTR, 3, -errno.EACCES) in seen
    assert [opcode for opcode, _, _ in seen].count(Opcode.UNLINK) == 1
