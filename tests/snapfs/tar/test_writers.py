"""Archives that other programs wrote, compared with what they were made of."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapfs.tar import Member, MemberKind
from support.tar_blocks import filled, members_of

KINDS: Final = {
    MemberKind.FILE: tarfile.REGTYPE,
    MemberKind.DIRECTORY: tarfile.DIRTYPE,
    MemberKind.SYMLINK: tarfile.SYMTYPE,
    MemberKind.HARDLINK: tarfile.LNKTYPE,
    MemberKind.CHARACTER_DEVICE: tarfile.CHRTYPE,
    MemberKind.BLOCK_DEVICE: tarfile.BLKTYPE,
    MemberKind.FIFO: tarfile.FIFOTYPE,
}

FORMATS: Final = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def output_of(*command: str | os.PathLike[str]) -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]!s}")
    done = subprocess.run(command, check=True, capture_output=True)
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a directory with one of everything a tar can hold unprivileged."""
    root = tmp_path / "tree"
    deep = root / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("f" * 120)).write_bytes(b"deep")
    (root / "empty").touch()
    (root / "file").write_bytes(os.urandom(70_000))
    (root / "file").chmod(0o4751)
    os.utime(root / "file", ns=(0, 1_600_000_000_123_456_789))
    (root / "old").touch()
    os.utime(root / "old", ns=(0, -2_000_000_000))
    os.link(root / "file", root / "hard")
    (root / "soft").symlink_to("t" * 150)
    os.mkfifo(root / "pipe")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9 \xff")).write_bytes(b"odd name")
    with (root / "holes").open("wb") as holes:
        for block in range(60):
            holes.seek(block * 64 << 10)
            holes.write(b"%04d" % block * 1024)
        holes.truncate(5 << 20)
    return root


def check_against_disk(plain: bytes, root: Path, exact_times: bool) -> set[bytes]:
    """Compare each member with the file it was made of; return the names."""
    names = set()
    for found, body in members_of(plain, 10_000):
        path = os.path.join(os.fsencode(root), found.name)
        status = os.lstat(path)
        names.add(os.path.normpath(found.name))
        assert found.mode == status.st_mode & 0o7777
        assert (found.uid, found.gid) == (status.st_uid, status.st_gid)
        wanted_ns = status.st_mtime_ns
        if not exact_times:
            wanted_ns = wanted_ns // 10**9 * 10**9
        assert found.mtime_ns == wanted_ns
        if found.kind is MemberKind.FILE:
            assert found.size_bytes == status.st_size
            with open(path, "rb") as file:
                assert filled(found, body) == file.read()
        elif found.kind is MemberKind.SYMLINK:
            assert found.link_name == os.readlink(path)
        elif found.kind is MemberKind.HARDLINK:
            target = os.path.join(os.fsencode(root), found.link_name)
            assert os.path.samefile(path, target)
    return names


@pytest.mark.parametrize(
    ("form", "exact_times"),
    [
        pytest.param(["--format=gnu"], False, id="gnu"),
        pytest.param(["--format=oldgnu", "-S"], False, id="oldgnu-sparse"),
        pytest.param(["--format=gnu", "-S"], False, id="gnu-sparse"),
        pytest.param(["--format=pax"], True, id="pax"),
        pytest.param(["--format=pax", "-S", "--sparse-version=0.0"], True, id="0.0"),
        pytest.param(["--format=pax", "-S", "--sparse-version=0.1"], True, id="0.1"),
        pytest.param(["--format=pax", "-S", "--sparse-version=1.0"], True, id="1.0"),
    ],
)
def test_what_gnu_tar_wrote_is_read_back(
    tree: Path, form: list[str], exact_times: bool
) -> None:
    plain = output_of("tar", *form, "-C", tree, "-cf", "-", ".")

    names = check_against_disk(plain, tree, exact_times)

    assert len(names) == 12
    sparse = [found.sparse for found, _ in members_of(plain) if found.sparse]
    assert bool(sparse) == any("-S" in word for word in form)
    assert all(len(extents) == 60 for extents in sparse)


@pytest.mark.parametrize(
    ("form", "exact_times"), [("pax", True), ("gnutar", False), ("posix", True)]
)
def test_what_bsdtar_wrote_is_read_back(
    tree: Path, form: str, exact_times: bool
) -> None:
    if form == "gnutar":  # libarchive writes 0 for times before 1970 there
        os.utime(tree / "old", (0, 0))
    plain = output_of("bsdtar", "--format", form, "-C", tree, "-cf", "-", ".")

    names = check_against_disk(plain, tree, exact_times)

    assert len(names) == 12


@pytest.mark.parametrize("form", ["ustar", "v7"])
def test_what_gnu_tar_wrote_in_old_formats_is_read_back(
    tmp_path: Path, form: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 5000)
    plain = output_of("tar", f"--format={form}", "-C", tmp_path, "-cf", "-", "a")

    names = check_against_disk(plain, tmp_path, exact_times=False)

    assert names == {b"a", b"a/b", b"a/b/file"}


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_xattrs_arrive_byte_for_byte(tmp_path: Path, program: str) -> None:
    value = bytes(range(256)) * 3
    (tmp_path / "file").touch()
    try:
        os.setxattr(tmp_path / "file", b"user.snapfs=odd%3D", value)
    except OSError as error:
        pytest.skip(f"no user xattrs on {tmp_path}: {error}")
    plain = output_of(
        program, "--xattrs", "--format=pax", "-C", tmp_path, "-cf", "-", "file"
    )

    ((found, _),) = members_of(plain)

    assert found.xattrs == {b"user.snapfs=odd%3D": value}


names = st.one_of(
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        min_size=1,
        max_size=300,
    ),
    st.binary(min_size=1, max_size=90).filter(lambda name: b"\0" not in name),
).map(lambda name: os.fsencode(name) if isinstance(name, str) else name)
big = st.integers(0, 2**32 - 2)


@st.composite
def infos(draw: st.DrawFn) -> tuple[Member, bytes]:
    """Return a member as it should be read."""
    kind = draw(st.sampled_from(list(MemberKind)))
    body = draw(st.binary(max_size=1200)) if kind is MemberKind.FILE else b""
    linked = kind in (MemberKind.SYMLINK, MemberKind.HARDLINK)
    device = kind in (MemberKind.CHARACTER_DEVICE, MemberKind.BLOCK_DEVICE)
    name = draw(names).rstrip(b"/") or b"x"
    return (
        Member(
            name=name + b"/" if kind is MemberKind.DIRECTORY else name,
            kind=kind,
            mode=draw(st.integers(0, 0o7777)),
            uid=draw(big),
            gid=draw(big),
            size_bytes=len(body),
            stored_bytes=len(body),
            mtime_ns=draw(st.integers(-(2**33), 2**33)) * 10**9,
            link_name=draw(names) if linked else b"",
            device=(
                draw(st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1)))
                if device
                else (0, 0)
            ),
            xattrs={},
            sparse=None,
            header_offset=0,
            data_offset=0,
        ),
        body,
    )


def info_of(wanted: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(os.fsdecode(wanted.name.rstrip(b"/")))
    info.type = KINDS[wanted.kind]
    info.mode, info.uid, info.gid = wanted.mode, wanted.uid, wanted.gid
    info.size = wanted.size_bytes
    info.mtime = wanted.mtime_ns // 10**9
    info.linkname = os.fsdecode(wanted.link_name)
    info.devmajor, info.devminor = wanted.device
    info.pax_headers = {
        f"SCHILY.xattr.{os.fsdecode(key)}": os.fsdecode(value)
        for key, value in wanted.xattrs.items()
    }
    return info


def written(
    members: list[tuple[Member, bytes]], form: int, skip: type[Exception]
) -> tuple[bytes, list[tuple[Member, bytes]]]:
    """Return tarfile's archive of ``members``, and those the format can hold."""
    stream = io.BytesIO()
    held = []
    with tarfile.open(
        fileobj=stream, mode="w", format=form, errors="surrogateescape"
    ) as archive:
        for wanted, body in members:
            try:
                archive.addfile(info_of(wanted), io.BytesIO(body))
            except skip:
                continue
            held.append((wanted, body))
    return stream.getvalue(), held


@given(st.lists(infos(), max_size=6), st.sampled_from(FORMATS), st.booleans())
def test_all_that_tarfile_wrote_is_read_back(
    members: list[tuple[Member, bytes]], form: int, with_xattrs: bool
) -> None:
    if with_xattrs and form == tarfile.PAX_FORMAT:
        for wanted, body in members:
            wanted.xattrs = {b"user.body": body, b"user.name": wanted.name}
    plain, held = written(members, form, skip=ValueError)

    found = members_of(plain, 1500)

    for member, _ in found:
        member.header_offset = member.data_offset = 0
        member.xattrs = dict(member.xattrs)
    assert found == held
