"""A layer's directory index says what a walk would, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapfs.layer import dirindex_format as form
from snapfs.layer.dirindex import DirIndex, Listing, open_dirindex
from snapfs.layer.dirindex_build import write_dirindex
from snapfs.layer.dirindex_format import ROOT, DirectoryFlag, EntryFlag
from snapfs.layer.form import OverlayForm, WhiteoutForm, make_whiteout, mark_whiteouts
from snapfs.overlay_format import XattrPrefix, set_opaque
from support.applied_layers import opened

PREFIX = XattrPrefix.USER

Tree = dict[bytes, "Tree | str"]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot's numbered directory, with an empty root."""
    (tmp_path / "17" / "fs").mkdir(parents=True)
    return tmp_path / "17"


def write(snapshot: Path) -> bool:
    with opened(snapshot) as directory, opened(snapshot / "fs") as root:
        return write_dirindex(directory, root, PREFIX)


@contextlib.contextmanager
def reading(snapshot: Path, generation: int = 1) -> Iterator[DirIndex | None]:
    with opened(snapshot / "fs") as root:
        index = open_dirindex(str(snapshot), root, generation)
    try:
        yield index
    finally:
        if index is not None:
            index.close()


@contextlib.contextmanager
def index_of(snapshot: Path) -> Iterator[DirIndex]:
    assert write(snapshot)
    with reading(snapshot) as index:
        assert index is not None
        yield index


def sound(listing: Listing | None) -> Listing:
    assert listing is not None
    return listing


def make(root: Path, tree: Tree) -> None:
    """Make the objects of ``tree`` below ``root``, with times before the epoch."""
    for name, what in tree.items():
        path = os.fsencode(root) + b"/" + name
        if isinstance(what, dict):
            os.mkdir(path)
            make(Path(os.fsdecode(path)), what)
        elif what == "file":
            Path(os.fsdecode(path)).write_bytes(name * 9)
        elif what == "symlink":
            os.symlink(b"target" + name[:50], path)
        elif what == "whiteout":
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        else:
            os.mkfifo(path, 0o604)
        os.utime(path, ns=(-5, -1_500_000_000_001), follow_symlinks=False)


def attributes_of(status: os.stat_result) -> tuple[int, ...]:
    """Return the fields of ``struct fuse_attr``, from lstat(2) and by hand.

    Without the access time, which a test changes when it looks.
    """
    seconds, nanoseconds = zip(
        *(divmod(ns, 10**9) for ns in (0, status.st_mtime_ns, status.st_ctime_ns)),
        strict=True,
    )
    return (
        *(status.st_ino, status.st_size, status.st_blocks),
        *(*seconds, *nanoseconds),
        *(status.st_mode, status.st_nlink, status.st_uid, status.st_gid),
        *(status.st_rdev, status.st_blksize, 0),
    )


def unpacked(attributes: memoryview) -> tuple[int, ...]:
    """Return the fields of ``struct fuse_attr`` without the access time."""
    fields = list(form.ATTRIBUTES.unpack(attributes))
    fields[3] = fields[6] = 0
    return tuple(fields)


def assert_is_the_walk(index: DirIndex, root: bytes) -> None:
    """Compare every directory with lstat(2) of each of its entries."""
    directories = entries = 0
    assert unpacked(index.root_attributes) == attributes_of(os.lstat(root))
    for path, names, others in os.walk(root):
        relative = os.path.relpath(path, root).split(b"/") if path != root else []
        number = index.find(relative)
        assert number is not None
        listing = sound(index.listing(number))
        walked = list(listing.walk())
        assert [name for _, name, *_ in walked] == sorted(names + others)
        for position, name, attributes, kind, _ in walked:
            status = os.lstat(path + b"/" + name)
            assert unpacked(attributes) == attributes_of(status)
            assert kind == stat.S_IFMT(status.st_mode) >> 12
            assert listing.find(name) == position
            child = listing.directory_number(position)
            assert (child is not None) == stat.S_ISDIR(status.st_mode)
            if child is not None:
                assert sound(index.listing(child)).parent == number
        directories += 1
        entries += len(walked)
    assert (len(index), index.entries) == (directories, entries)


NAMES = st.one_of(
    st.binary(min_size=1, max_size=255), st.sampled_from([b"a", b"b", b"ab", b"-"])
).filter(lambda name: not {0, ord("/")} & set(name) and name not in (b".", b".."))
LEAVES = st.sampled_from(["file", "symlink", "fifo", "whiteout"])
TREES = st.recursive(
    st.dictionaries(NAMES, LEAVES, max_size=6),
    lambda below: st.dictionaries(NAMES, LEAVES | below, max_size=5),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_index_is_what_a_walk_finds(tree: Tree) -> None:
    with tempfile.TemporaryDirectory(prefix="snapfs-test-") as made:
        snapshot = Path(made)
        (snapshot / "fs").mkdir()
        make(snapshot / "fs", tree)

        with index_of(snapshot) as index:
            assert_is_the_walk(index, os.fsencode(snapshot / "fs"))


def test_links_devices_and_owners_are_in_it(snapshot: Path) -> None:
    root = snapshot / "fs"
    (root / "one").write_bytes(b"x" * 5000)
    os.link(root / "one", root / "two")
    os.mknod(root / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))
    os.mknod(root / "far", stat.S_IFBLK | 0o600, os.makedev(259, 0x12345))
    os.chown(root / "far", 4_000_000_000, 65534)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)

    with index_of(snapshot) as index:
        assert_is_the_walk(index, os.fsencode(root))


def test_looking_changes_no_access_time(snapshot: Path) -> None:
    root = snapshot / "fs"
    (root / "a/b").mkdir(parents=True)
    (root / "a/link").symlink_to("b")
    (root / "a/file").touch()
    paths = [root, root / "a", root / "a/b", root / "a/link", root / "a/file"]
    for path in paths:
        # Older than the other times: so relatime would change it.
        os.utime(path, ns=(1_000_000_000_007, 2_000_000_000_000), follow_symlinks=False)

    with index_of(snapshot) as index:
        listing = sound(index.listing(index.find([b"a"]) or ROOT))

        assert {path.lstat().st_atime_ns for path in paths} == {1_000_000_000_007}
        for attributes in (index.root_attributes, listing.attributes(0)):
            fields = form.ATTRIBUTES.unpack(attributes)
            assert (fields[3], fields[6]) == (1000, 7)


def test_layer_without_entries_has_an_index(snapshot: Path) -> None:
    with index_of(snapshot) as index:
        listing = sound(index.listing(ROOT))

        assert (len(index), len(listing), listing.find(b"a")) == (1, 0, None)
        assert (listing.parent, listing.flags) == (ROOT, DirectoryFlag(0))


def test_listing_goes_on_anywhere(snapshot: Path) -> None:
    for number in range(50):
        (snapshot / "fs" / f"{number:02}").touch()

    with index_of(snapshot) as index:
        listing = sound(index.listing(ROOT))

        for start in (0, 1, 49, 50, 51):
            walked = [(at, name) for at, name, *_ in listing.walk(start)]
            assert walked == [(n, b"%02d" % n) for n in range(start, 50)]
        with pytest.raises(IndexError):
            listing.name(50)


def test_paths_lead_to_directories_alone(snapshot: Path) -> None:
    (snapshot / "fs/usr/lib").mkdir(parents=True)
    (snapshot / "fs/lib").symlink_to("usr/lib")

    with index_of(snapshot) as index:
        lib = index.find([b"usr", b"lib"])

        assert lib is not None
        assert index.find([]) == ROOT
        assert sound(index.listing(lib)).parent == index.find([b"usr"])
        for path in ([b"lib"], [b"lib", b"x"], [b"usr", b".."], [b"no"], [b""]):
            assert index.find(path) is None


def test_marks_of_overlayfs_are_told(snapshot: Path) -> None:
    root = snapshot / "fs"
    for name in ("opaque", "devices", "marks", "plain"):
        (root / name).mkdir()
    set_opaque(os.fsencode(root / "opaque"), PREFIX)
    for name, kind in (("devices", WhiteoutForm.DEVICE), ("marks", WhiteoutForm.XATTR)):
        (root / name / "kept").touch()
        with opened(root / name) as fd:
            make_whiteout(b"gone", fd, OverlayForm(PREFIX, kind))
            mark_whiteouts(fd, OverlayForm(PREFIX, kind))

    with index_of(snapshot) as index:
        listings = {
            name: sound(index.listing(number))
            for name in (b"opaque", b"devices", b"marks", b"plain")
            if (number := index.find([name])) is not None
        }
        flags = {name: listing.flags for name, listing in listings.items()}

        assert flags == {
            b"opaque": DirectoryFlag.OPAQUE,
            b"devices": DirectoryFlag.HOLDS_WHITEOUTS,
            b"marks": DirectoryFlag.HOLDS_WHITEOUTS,
            b"plain": DirectoryFlag(0),
        }
        for holder in (b"devices", b"marks"):
            listing = listings[holder]
            assert [(n, f) for _, n, _, _, f in listing.walk()] == [
                (b"gone", EntryFlag.WHITEOUT),
                (b"kept", EntryFlag(0)),
            ]
            assert listing.entry_flags(0) == EntryFlag.WHITEOUT


def test_no_damaged_byte_is_believed(snapshot: Path) -> None:
    make(snapshot / "fs", {b"a": {b"b": "file", b"c": {}}, b"d": "symlink"})
    with index_of(snapshot) as index:
        expected = everything(index)
    file = snapshot / form.FILE_NAME
    intact = file.read_bytes()
    ignored = 0

    for at in range(len(intact)):
        damaged = bytearray(intact)
        damaged[at] ^= 0x40
        file.write_bytes(damaged)
        with reading(snapshot) as opened_index:
            found = None if opened_index is None else everything(opened_index)
        if found is None:
            ignored += 1
            continue
        # Padding between two blocks, or a block that is known to be damaged.
        assert all(
            got is None or got == expected[number] for number, got in found.items()
        )
        ignored += None in found.values()

    assert ignored >= len(intact) - form.ALIGNMENT * len(expected)


def everything(index: DirIndex) -> dict[int, object]:
    return {
        number: None
        if (listing := index.listing(number)) is None
        else (
            listing.parent,
            listing.flags,
            [(n, bytes(attributes), k, f) for _, n, attributes, k, f in listing.walk()],
        )
        for number in range(len(index))
    }


@pytest.mark.parametrize("length", [0, 1, 100, form.HEADER_BYTES, -1, -40])
def test_cut_index_is_ignored(snapshot: Path, length: int) -> None:
    (snapshot / "fs/a").touch()
    write(snapshot)
    file = snapshot / form.FILE_NAME

    file.write_bytes(file.read_bytes()[:length])

    with reading(snapshot) as index:
        assert index is None


def test_index_with_more_behind_it_is_ignored(snapshot: Path) -> None:
    write(snapshot)

    with (snapshot / form.FILE_NAME).open("ab") as file:
        file.write(bytes(64))

    with reading(snapshot) as index:
        assert index is None


def test_pages_that_never_reached_the_disk_are_found_out(snapshot: Path) -> None:
    make(snapshot / "fs", {b"n%03d" % n: {b"x": "file"} for n in range(200)})
    write(snapshot)
    file = snapshot / form.FILE_NAME
    content = bytearray(file.read_bytes())
    content[4096:8192] = bytes(4096)

    file.write_bytes(content)

    with reading(snapshot) as index:
        assert index is not None
        assert index.listing(ROOT) is None
        assert index.find([b"n001"]) is None
        assert None not in [index.listing(n) for n in range(150, len(index))]


def test_index_is_of_this_root_alone(snapshot: Path, tmp_path: Path) -> None:
    (snapshot / "fs/a").touch()
    write(snapshot)

    copied = Path(shutil.copytree(snapshot, tmp_path / "18"))

    with reading(copied) as index:
        assert index is None
    moved = snapshot.rename(tmp_path / "19")
    with reading(moved) as index:
        assert index is not None


@pytest.mark.parametrize("generation", [0, 2])
def test_index_of_another_generation_is_ignored(
    snapshot: Path, generation: int
) -> None:
    write(snapshot)

    with reading(snapshot, generation) as index:
        assert index is None


def test_no_index_is_no_error(snapshot: Path, tmp_path: Path) -> None:
    with reading(snapshot) as index:
        assert index is None
    (snapshot / form.FILE_NAME).symlink_to(tmp_path)
    with reading(snapshot) as index:
        assert index is None
    (snapshot / form.FILE_NAME).unlink()
    os.mkfifo(snapshot / form.FILE_NAME)
    with reading(snapshot) as index:
        assert index is None


def test_layer_that_is_too_deep_has_none(snapshot: Path) -> None:
    deep = snapshot / "fs"
    for _ in range(300):
        deep = deep / "d"
    deep.mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))

    assert not write(snapshot)

    assert os.listdir(snapshot) == ["fs"]
    assert len(os.listdir("/proc/self/fd")) == before


def test_existing_index_is_not_overwritten(snapshot: Path) -> None:
    write(snapshot)

    with pytest.raises(FileExistsError):
        write(snapshot)

    with reading(snapshot) as index:
        assert index is not None


def test_listing_outlives_its_index(snapshot: Path) -> None:
    (snapshot / "fs/a").touch()
    with index_of(snapshot) as index:
        listing = sound(index.listing(ROOT))

    assert listing.name(0) == b"a"
