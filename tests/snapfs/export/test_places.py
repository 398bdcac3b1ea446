"""Where images go: archives and directories, complete or not there."""

from __future__ import annotations

import errno
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from snapfs.compression.blob_writer import WrittenBlob
from snapfs.digest import sha256
from snapfs.errors import AlreadyExistsError
from snapfs.export.archive import ArchivePlace
from snapfs.export.directory import DirectoryPlace
from snapfs.export.output_file import OutputFile
from snapfs.export.place import BlobProducer

CONTENTS = (b"one" * 400, b"two", b"one" * 400, b"", b"x" * 512)


def producer(content: bytes) -> BlobProducer:
    def produce(write: Callable[[bytes], object]) -> WrittenBlob:
        for at in range(0, len(content), 100):
            write(content[at : at + 100])
        digest = sha256(content)
        return WrittenBlob(digest, len(content), digest, len(content), "none")

    return produce


def expected() -> dict[str, bytes]:
    blobs = {f"blobs/sha256/{sha256(c).hex}": c for c in CONTENTS}
    return {"first": b"1", **blobs, "last": b"2"}


def fill(place: ArchivePlace | DirectoryPlace) -> None:
    place.add_file("first", b"1")
    for content in CONTENTS:
        place.add_blob(producer(content))
    place.add_file("last", b"2")
    place.add_file("last", b"2")


def test_an_archive_holds_each_file_once(tmp_path: Path) -> None:
    with OutputFile(str(tmp_path / "a.tar")) as file:
        place = ArchivePlace(file.fd)
        fill(place)
        place.finish()
        file.publish()

    with tarfile.open(tmp_path / "a.tar") as archive:
        found = {
            m.name: opened.read() for m in archive if (opened := archive.extractfile(m))
        }
        assert len(archive.getmembers()) == len(expected())
    assert found == expected()
    assert (tmp_path / "a.tar").stat().st_size % 512 == 0


def test_a_directory_holds_each_file_once(tmp_path: Path) -> None:
    with DirectoryPlace(str(tmp_path / "d")) as place:
        fill(place)
        place.publish()

    root = tmp_path / "d"
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    assert found == expected()


def test_what_is_not_published_is_gone(tmp_path: Path) -> None:
    with OutputFile(str(tmp_path / "a.tar")) as file:
        os.write(file.fd, b"half")
    with DirectoryPlace(str(tmp_path / "d")) as place:
        fill(place)

    assert list(tmp_path.iterdir()) == []


def test_a_failing_blob_leaves_nothing_in_a_directory(tmp_path: Path) -> None:
    def fail(write: Callable[[bytes], object]) -> WrittenBlob:
        write(b"half")
        raise OSError(errno.EIO, "broken")

    with (
        DirectoryPlace(str(tmp_path / "d")) as place,
        pytest.raises(OSError, match="broken"),
    ):
        place.add_blob(fail)

    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["nameless", "partial", "links"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the filesystem lack what some lack."""
    if request.param == "nameless":
        return
    real_open = os.open

    def refusing(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real_open(path, flags, mode, **more)

    monkeypatch.setattr("snapfs.export.output_file.os.open", refusing)
    if request.param == "links":

        def no_flags(*_: object, **__: object) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        monkeypatch.setattr("snapfs.export.output_file.renameat2", no_flags)


@pytest.mark.usefixtures("_ways")
def test_a_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    with OutputFile(str(tmp_path / "x")) as file:
        os.write(file.fd, b"content")
        assert not (tmp_path / "x").exists()
        file.publish()

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"content")]


@pytest.mark.usefixtures("_ways")
def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with OutputFile(str(tmp_path / "x")) as file:
        (tmp_path / "x").write_bytes(b"another's")
        with pytest.raises(AlreadyExistsError, match=r"x' exists; remove it first"):
            file.publish()

    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [
        ("x", b"another's")
    ]


def test_a_directory_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with DirectoryPlace(str(tmp_path / "d")) as place:
        (tmp_path / "d").mkdir()
        with pytest.raises(AlreadyExistsError, match="exists; remove it first"):
            place.publish()

    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_blob_of_many_gigabytes_has_its_size_in_one_header(tmp_path: Path) -> None:
    size = 9 << 30
    digest = sha256(b"large")

    def produce(write: Callable[[bytes], object]) -> WrittenBlob:
        os.lseek(file.fd, size, os.SEEK_CUR)  # a hole
        return WrittenBlob(digest, size, digest, size, "none")

    with OutputFile(str(tmp_path / "a.tar")) as file:
        place = ArchivePlace(file.fd)
        place.add_blob(produce)
        place.add_file("last", b"2")
        place.finish()
        with os.fdopen(os.dup(file.fd), "rb") as opened:
            opened.seek(0)
            with tarfile.open(fileobj=opened) as archive:
                found = [(member.name, member.size) for member in archive]

    assert found == [(f"blobs/sha256/{digest.hex}", size), ("last", 1)]
