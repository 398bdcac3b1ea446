from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from snapfs.cli.store_archive import MARKER
from snapfs.overlay_format import make_whiteout
from snapfs.state import RootLock, StatePaths

from .conftest import CommandLine

BINARY = bytes(range(256)) + b"\n\0=\xff"


@pytest.fixture
def store(snapfs: CommandLine) -> Path:
    """A directory with the shape of a store and every kind of object in it."""
    root = snapfs.root
    fs = root / "snapshots" / "1" / "fs"
    fs.mkdir(parents=True)
    for name in ("staging", "trash"):
        (root / name).mkdir()
    (root / "trash" / "7").mkdir()
    (root / "metadata.db").write_bytes(b"rows")
    (root / "store.json").write_text("{}")
    (fs / "file").write_text("content")
    os.link(fs / "file", fs / "second name")
    os.symlink("/etc/passwd", fs / "link")
    os.mkfifo(fs / "fifo")
    make_whiteout(str(fs / "gone"))
    with open(fs / "sparse", "wb") as file:
        file.truncate(8 << 20)
    (fs / os.fsdecode(b"not \xff utf-8")).touch()
    os.setxattr(fs / "file", "user.binary", BINARY)
    os.setxattr(fs, "user.overlay.opaque", b"y")
    os.chmod(fs / "file", 0o4751)
    os.utime(fs / "file", ns=(1, 1_234_567_890_123_456_789))
    os.utime(fs, ns=(1, 987_654_321_000_000_001))
    os.chmod(fs, 0o555)
    return root


def description(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what a backup must keep of everything below ``root``."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, root)] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_rdev),
                *(status.st_mtime_ns, content),
                {
                    key: os.getxattr(path, key, follow_symlinks=False)
                    for key in os.listxattr(path, follow_symlinks=False)
                },
            )
    return found


def test_a_restored_store_is_equal_in_everything(
    snapfs: CommandLine, store: Path, tmp_path: Path
) -> None:
    file, copy = tmp_path / "b.tar", tmp_path / "copy"
    before = description(store / "snapshots")

    saved = snapfs("backup", file, "--json")
    restored = snapfs("--root", copy, "restore", file, "--json")

    assert (saved.code, restored.code) == (0, 0)
    assert saved.document == restored.document
    assert description(copy / "snapshots") == before
    fs = copy / "snapshots" / "1" / "fs"
    assert os.path.samefile(fs / "file", fs / "second name")
    assert os.stat(fs / "sparse").st_blocks == 0
    assert sorted(os.listdir(copy)) == sorted(
        ["lock", "metadata.db", "snapshots", "staging", "store.json", "trash"]
    )
    assert os.listdir(copy / "trash") == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="trusted attributes need root")
def test_trusted_attributes_and_owners_survive(
    snapfs: CommandLine, store: Path, tmp_path: Path
) -> None:
    fs = store / "snapshots" / "1" / "fs"
    os.setxattr(fs, "trusted.overlay.opaque", b"y")
    os.setxattr(
        fs / "link", "trusted.overlay.origin", b"\0\xfb\n", follow_symlinks=False
    )
    os.chown(fs / "link", 12, 34, follow_symlinks=False)
    os.chown(fs / "file", 100_000, 100_001)
    os.mknod(fs / "disk", stat.S_IFBLK | 0o640, os.makedev(8, 17))
    before = description(store / "snapshots")

    snapfs("backup", tmp_path / "b.tar")
    snapfs("--root", tmp_path / "copy", "restore", tmp_path / "b.tar")

    assert description(tmp_path / "copy" / "snapshots") == before


def test_a_backup_needs_the_store_to_itself(
    snapfs: CommandLine, store: Path, tmp_path: Path
) -> None:
    lock = RootLock.try_acquire(StatePaths(str(store)).lock)
    assert isinstance(lock, RootLock)

    outcome = snapfs("backup", tmp_path / "b.tar")

    lock.release()
    assert outcome.code == 5
    assert f"process {os.getpid()}" in outcome.err
    assert not (tmp_path / "b.tar").exists()


def test_a_backup_never_replaces_a_file(
    snapfs: CommandLine, store: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar"
    file.write_text("precious")

    assert snapfs("backup", file).code == 4
    assert file.read_text() == "precious"


def test_a_backup_cannot_lie_in_the_store(snapfs: CommandLine, store: Path) -> None:
    assert snapfs("backup", store / "b.tar").code == 5


def test_a_backup_of_no_store_is_exit_code_3(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    assert snapfs("backup", tmp_path / "b.tar").code == 3
    assert not snapfs.root.exists()


def test_restore_refuses_a_root_that_is_not_empty(
    snapfs: CommandLine, store: Path, tmp_path: Path
) -> None:
    snapfs("backup", tmp_path / "b.tar")
    before = description(store)

    outcome = snapfs("restore", tmp_path / "b.tar")

    assert outcome.code == 5
    assert description(store) == before


def test_restore_of_a_missing_file_is_exit_code_3(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    assert snapfs("restore", tmp_path / "none").code == 3
    assert not snapfs.root.exists()


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"\0" * 10240])
def test_restore_of_another_file_is_exit_code_2(
    snapfs: CommandLine, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "other").write_bytes(content)

    outcome = snapfs("restore", tmp_path / "other")

    assert outcome.code == 2
    assert "no backup of snapfs" in outcome.err
    assert not snapfs.root.exists()


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_restore_of_a_cut_file_is_exit_code_7_and_leaves_nothing(
    snapfs: CommandLine, store: Path, tmp_path: Path, kept: float
) -> None:
    file, copy = tmp_path / "b.tar", tmp_path / "copy"
    snapfs("backup", file)
    with tarfile.open(file) as archive:
        end = archive.getmembers()[-1].offset  # where store.json begins
    os.truncate(file, int(end * kept))

    outcome = snapfs("--root", copy, "restore", file)

    assert outcome.code == 7
    assert not copy.exists()


def hostile(file: Path, *members: tarfile.TarInfo) -> None:
    with tarfile.open(file, "w") as archive:
        marker = tarfile.TarInfo(MARKER)
        content = json.dumps({"format": 1}).encode()
        marker.size = len(content)
        archive.addfile(marker, io.BytesIO(content))
        for member in members:
            archive.addfile(member)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["../outside"], id="upwards"),
        pytest.param(["/tmp/outside"], id="absolute"),
        pytest.param(["a/../../outside"], id="upwards later"),
        pytest.param(["missing/file"], id="no parent"),
    ],
)
def test_restore_leaves_its_root_by_no_name(
    snapfs: CommandLine, tmp_path: Path, names: list[str]
) -> None:
    hostile(tmp_path / "evil.tar", *map(tarfile.TarInfo, names))

    outcome = snapfs("restore", tmp_path / "evil.tar")

    assert outcome.code == 7
    assert os.listdir(tmp_path) == ["evil.tar"]


def test_restore_leaves_its_root_through_no_symlink(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    hostile(
        tmp_path / "evil.tar",
        link("door", str(outside)),
        tarfile.TarInfo("door/planted"),
    )

    outcome = snapfs("restore", tmp_path / "evil.tar")

    assert outcome.code == 7
    assert os.listdir(outside) == []
    assert not snapfs.root.exists()


def test_restore_reads_no_format_but_its_own(
    snapfs: CommandLine, tmp_path: Path
) -> None:
    with tarfile.open(tmp_path / "new.tar", "w") as archive:
        marker = tarfile.TarInfo(MARKER)
        marker.size = len(b'{"format": 2}')
        archive.addfile(marker, io.BytesIO(b'{"format": 2}'))

    outcome = snapfs("restore", tmp_path / "new.tar")

    assert outcome.code == 2
    assert "format 2" in outcome.err
