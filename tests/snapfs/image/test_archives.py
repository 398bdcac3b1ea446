from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    SnapfsError,
    UnimplementedError,
    UnsafeLayerError,
)
from snapfs.image.archive_index import ArchiveFiles
from snapfs.image.files import read_file
from support.image_files import write_tar

_LONG = "directory/" * 30 + "name"
_FORMATS = [
    pytest.param(tarfile.USTAR_FORMAT, id="ustar"),
    pytest.param(tarfile.GNU_FORMAT, id="gnu"),
    pytest.param(tarfile.PAX_FORMAT, id="pax"),
]


def _read(archive: ArchiveFiles, path: str) -> bytes:
    return read_file(archive, path, 1 << 20, "it")


@pytest.mark.parametrize("form", _FORMATS)
def test_files_are_read_in_place(tmp_path: Path, form: int) -> None:
    files = {"a": b"", "./b/c": b"content", "d" * 100 + "/" + "e" * 90: b"x" * 1000}
    if form != tarfile.USTAR_FORMAT:
        files[_LONG] = b"long"

    path = write_tar(tmp_path / "a.tar", files, form=form)

    with closing(ArchiveFiles(str(path))) as archive:
        assert {name: _read(archive, name) for name in files} == files
        assert _read(archive, "b/c") == b"content"
        assert archive.size("b/c") == 7
        assert archive.size("b") is None
        assert archive.open("b/c", 3).read(2) == b"te"


@pytest.mark.parametrize("form", _FORMATS)
def test_what_python_writes_is_read_alike(tmp_path: Path, form: int) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form) as made:
        for name in ("one", "two"):
            member = tarfile.TarInfo(name)
            member.size = 600
            made.addfile(member, io.BytesIO(b"x" * 600))
        hard = tarfile.TarInfo("hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, "two"
        made.addfile(hard)
        made.addfile(tarfile.TarInfo("last"))

    with closing(ArchiveFiles(str(path))) as archive:
        assert archive.size("hard") == 600
        assert archive.size("last") == 0


def test_pax_overrides_name_and_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        member = tarfile.TarInfo("short")
        member.pax_headers = {"path": "n\u00e4me", "comment": "not ours"}
        member.size = 3
        made.addfile(member, io.BytesIO(b"abc"))

    with closing(ArchiveFiles(str(path))) as archive:
        assert _read(archive, "n\u00e4me") == b"abc"


@pytest.mark.parametrize(
    "target", ["../layers/x.tar", "../a/../layers/x.tar", "../one", "../two"]
)
def test_symlinks_are_followed_inside_the_archive(tmp_path: Path, target: str) -> None:
    links = {"id/layer.tar": target, "one": "two", "two": "layers/x.tar"}
    path = write_tar(tmp_path / "a.tar", {"layers/x.tar": b"layer"}, links)

    with closing(ArchiveFiles(str(path))) as archive:
        assert _read(archive, "id/layer.tar") == b"layer"


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../etc/passwd", "../..", "../x/../../y"]
)
def test_a_symlink_out_of_the_archive_is_refused(tmp_path: Path, target: str) -> None:
    path = write_tar(tmp_path / "a.tar", {"x": b""}, {"id/layer.tar": target})

    with (
        closing(ArchiveFiles(str(path))) as archive,
        pytest.raises(UnsafeLayerError, match=r"'id/layer.tar' leads out of the arch"),
    ):
        archive.open("id/layer.tar")


def test_symlinks_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {}, {"a": "b", "b": "a", "self": "self"})

    with closing(ArchiveFiles(str(path))) as archive:
        for name in ("a", "self"):
            with pytest.raises(UnsafeLayerError, match="more than 40 links"):
                archive.size(name)


def test_a_dangling_symlink_is_no_file(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {}, {"a": "nowhere"})

    with (
        closing(ArchiveFiles(str(path))) as archive,
        pytest.raises(NotFoundError, match="there is no file 'a'"),
    ):
        archive.open("a")


@pytest.mark.parametrize("name", ["manifest.json", "index.json", "./oci-layout"])
def test_two_tables_of_contents_are_ambiguous(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as made:
        for _ in range(2):
            made.addfile(tarfile.TarInfo(name))

    with pytest.raises(DataLossError, match=r"ambiguous: it has '.*' twice"):
        ArchiveFiles(str(path))


@pytest.mark.parametrize("left", [1, 511, 513, 1024, 1500])
def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path, left: int) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": b"x" * 1000, "b": b"y"})
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(DataLossError, match=r"cut off|no tar archive"):
        ArchiveFiles(str(path))


def test_a_damaged_header_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": b"x", "b": b"y"})
    content = bytearray(path.read_bytes())
    content[1024] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataLossError, match="header at byte 1024 is damaged"):
        ArchiveFiles(str(path))


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x7fELF" + bytes(2000), b"PK\3\4" + b"x" * 2000]
)
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(DataLossError, match="no tar archive"):
        ArchiveFiles(str(tmp_path / "file"))


def test_a_huge_extension_header_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT))

    with pytest.raises(UnsafeLayerError, match="1073741824 bytes; at most 1048576"):
        ArchiveFiles(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("size", [-1, -512, 1 << 62, (1 << 63) - 1])
def test_a_size_that_no_file_has_is_refused(tmp_path: Path, size: int) -> None:
    member = tarfile.TarInfo("file")
    member.size = size
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))

    with pytest.raises(DataLossError, match=r"cut off|is not between"):
        ArchiveFiles(str(tmp_path / "a.tar"))


def test_a_compressed_archive_is_read_and_leaves_no_file(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": b"content"})
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    with closing(ArchiveFiles(str(packed), str(scratch))) as archive:
        assert _read(archive, "a") == b"content"
        assert list(scratch.iterdir()) == []

    assert list(scratch.iterdir()) == []


def test_a_compressed_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": os.urandom(5000)})
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])

    with pytest.raises(DataLossError):
        ArchiveFiles(str(path))


def test_a_compression_that_is_not_ours_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a": b"x"})
    path.write_bytes(lzma.compress(path.read_bytes()))

    with pytest.raises(UnimplementedError, match="xz"):
        ArchiveFiles(str(path))


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        ArchiveFiles(str(tmp_path / "nowhere"))
    with pytest.raises(InvalidArgumentError, match="is not a file"):
        ArchiveFiles(str(tmp_path))


def test_a_refused_archive_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with pytest.raises(DataLossError):
            ArchiveFiles(str(tmp_path / "file"))

    assert len(os.listdir("/proc/self/fd")) == before


@given(data=st.data())
def test_any_change_of_an_archive_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.tar"
    write_tar(path, {"a": b"x" * 700, "\u00e4": b"y"}, {"link": "a"})
    content = bytearray(path.read_bytes()[:6144])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
        header = at - at % 512
        block = bytes(content[header : header + 512])
        total = sum(block) - sum(block[148:156]) + 256
        content[header + 148 : header + 156] = b"%06o\0 " % total
    path.write_bytes(content)

    try:
        with closing(ArchiveFiles(str(path))) as archive:
            archive.size("link")
    except SnapfsError:
        pass
    finally:
        path.unlink()
        path.parent.rmdir()
